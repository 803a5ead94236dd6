"""Tasks of lost workers run elsewhere."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard.telemetry.reports import MOST_A_MINUTE, NO_REPORTS, FailedTask, Reports
from taskyard_scheduler.leader import LeadershipLost
from taskyard_scheduler.rescue import Rescue
from tests.support.fleet import wait_for
from tests.support.scheduling import LeaderParts, claim_all, execute, make_worker, put_in, scalar

LATE = "UPDATE worker SET beat_at = now() - interval '21 seconds'"


def make_rescue(leader: LeaderParts, *, crash_limit: int = 3, reports: Reports = NO_REPORTS) -> Rescue:
    return Rescue(
        leader.leadership,
        leader.dispatcher,
        leader.database,
        leader.metrics,
        lease=timedelta(seconds=20),
        crash_limit=crash_limit,
        reports=reports,
    )


class Told:
    """Reports, and how many were counted as lost."""

    is_on = True

    def __init__(self) -> None:
        self.tasks: list[FailedTask] = []
        self.number_lost = 0

    def task_failed(self, failed: FailedTask) -> None:
        self.tasks.append(failed)

    def unexpected(self, error: BaseException, **tags: str) -> None: ...

    def lost(self, number: int) -> None:
        self.number_lost += number

    def stop(self, seconds: float) -> None: ...


def test_tasks_of_a_lost_worker_are_queued_again_and_published(leader: LeaderParts, engine: Engine) -> None:
    ids = [task.id for task in put_in(engine, 5).answer]
    claim_all(engine, make_worker(engine), ids)
    execute(engine, LATE)
    make_rescue(leader).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'queued' AND suspicions = 1 AND crashes = 0") == 5
    wait_for(lambda: set(leader.messages()) == {f"{task_id}:2" for task_id in ids})
    assert scalar(engine, "SELECT state FROM worker") == "lost"
    assert leader.value("tasks_recovered_total", cause="worker_lost") == 5


def test_tasks_that_had_not_begun_count_no_crash(leader: LeaderParts, engine: Engine) -> None:
    ids = [task.id for task in put_in(engine, 2).answer]
    claim_all(engine, make_worker(engine), ids, begun=False)
    execute(engine, LATE)
    make_rescue(leader).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'queued' AND crashes = 0") == 2


def test_a_worker_that_sends_heartbeats_keeps_its_tasks(leader: LeaderParts, engine: Engine) -> None:
    claim_all(engine, make_worker(engine), [put_in(engine, 1).answer[0].id])
    execute(engine, "UPDATE worker SET beat_at = now() - interval '10 seconds'")
    make_rescue(leader).turn()
    assert scalar(engine, "SELECT state FROM task") == "running"


def test_a_rescue_that_was_cut_off_is_finished_by_the_next_pass(leader: LeaderParts, engine: Engine) -> None:
    """A leader marked the worker as lost and died. The next pass compares all rows and needs no memory of that."""
    claim_all(engine, make_worker(engine), [put_in(engine, 1).answer[0].id])
    execute(engine, "UPDATE worker SET lost_at = now(), state = 'lost'")
    make_rescue(leader).turn()
    assert scalar(engine, "SELECT state FROM task") == "queued"


def test_more_tasks_than_one_batch_are_all_rescued(leader: LeaderParts, engine: Engine) -> None:
    claim_all(engine, make_worker(engine), [task.id for task in put_in(engine, 1500).answer])
    execute(engine, LATE)
    make_rescue(leader).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'running'") == 0


def test_a_task_that_kills_its_workers_fails_at_the_crash_limit(leader: LeaderParts, engine: Engine) -> None:
    claim_all(engine, make_worker(engine), [put_in(engine, 1).answer[0].id])
    execute(engine, LATE)
    make_rescue(leader, crash_limit=1).turn()
    assert scalar(engine, "SELECT error ->> 'code' FROM task WHERE state = 'failed'") == "crash_limit"
    assert leader.value("tasks_dead_lettered_total", reason="crash_limit") == 1


def test_after_a_restart_of_postgresql_rescue_pauses_for_one_lease(leader: LeaderParts, engine: Engine) -> None:
    """All heartbeats look overdue then, although the workers are alive."""
    claim_all(engine, make_worker(engine), [put_in(engine, 1).answer[0].id])
    execute(engine, LATE)
    database = leader.database
    database._pause = 20.0
    assert leader.leadership.read(database.is_settled)
    assert database._seen is not None
    database._seen = (database._seen[0] - timedelta(hours=1), database._seen[1])  # as if it had been another server
    rescue = make_rescue(leader)
    rescue.turn()
    leader.clock.now += 2.0
    leader.leadership.campaign()
    rescue.turn()
    assert scalar(engine, "SELECT state FROM task") == "running"
    for _ in range(9):
        leader.clock.now += 2.1
        leader.leadership.campaign()
    rescue.turn()
    assert scalar(engine, "SELECT state FROM task") == "queued"


def test_a_new_timeline_is_a_change_too(leader: LeaderParts) -> None:
    leader.leadership.read(leader.database.is_settled)
    assert leader.database._seen is not None
    started, timeline = leader.database._seen
    assert len(timeline) == 8
    before = leader.database.changes
    leader.database.observe(started, "000000FF", 1e6)
    assert leader.database.changes == before + 1


def fail_all(leader: LeaderParts, engine: Engine, number: int) -> None:
    """As many tasks as that are on workers that are gone, and fail with the next crash."""
    claim_all(engine, make_worker(engine), [task.id for task in put_in(engine, number).answer])
    execute(engine, "UPDATE task SET suspicions = 10")
    execute(engine, LATE)


def test_failures_beyond_the_reports_of_a_minute_are_counted_as_lost(leader: LeaderParts, engine: Engine) -> None:
    told = Told()
    fail_all(leader, engine, MOST_A_MINUTE + 50)
    make_rescue(leader, crash_limit=1, reports=told).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'failed'") == MOST_A_MINUTE + 50
    assert (len({task.task_id for task in told.tasks}), told.number_lost) == (MOST_A_MINUTE, 50)


def test_a_lease_lost_before_the_reports_loses_no_counts(
    leader: LeaderParts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    fail_all(leader, engine, 2)
    read, answers = leader.leadership.read, iter([False, False])

    def read_until_lost(verb: Any) -> Any:
        if next(answers, True):
            raise LeadershipLost
        return read(verb)

    monkeypatch.setattr(leader.leadership, "read", read_until_lost)  # the third read is that of the reports
    with pytest.raises(LeadershipLost):
        make_rescue(leader, crash_limit=1, reports=told).turn()
    assert leader.value("tasks_recovered_total", cause="worker_lost") == 2
    assert leader.value("tasks_dead_lettered_total", reason="crash_limit") == 2
    assert (told.tasks, told.number_lost) == ([], 2)
