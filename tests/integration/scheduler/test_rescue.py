"""Tasks of workers that stopped answering run elsewhere."""

from datetime import timedelta

from sqlalchemy import Engine

from taskyard_scheduler.rescue import Rescue
from tests.support.scheduling import Office, claim_all, eventually, execute, make_worker, put_in, scalar

LATE = "UPDATE worker SET beat_at = now() - interval '21 seconds'"


def make_rescue(office: Office, *, crash_limit: int = 3) -> Rescue:
    return Rescue(
        office.leadership,
        office.dispatcher,
        office.ground,
        office.metrics,
        lease=timedelta(seconds=20),
        crash_limit=crash_limit,
    )


def test_tasks_of_a_lost_worker_are_queued_again_and_published(office: Office, engine: Engine) -> None:
    ids = [task.id for task in put_in(engine, 5).tasks]
    claim_all(engine, make_worker(engine), ids)
    execute(engine, LATE)
    make_rescue(office).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'queued' AND suspicions = 1 AND crashes = 0") == 5
    eventually(lambda: set(office.messages()) == {f"{task_id}:2" for task_id in ids})
    assert scalar(engine, "SELECT state FROM worker") == "lost"
    assert office.value("tasks_recovered_total", cause="worker_lost") == 5


def test_tasks_that_had_not_begun_pay_nothing(office: Office, engine: Engine) -> None:
    ids = [task.id for task in put_in(engine, 2).tasks]
    claim_all(engine, make_worker(engine), ids, begun=False)
    execute(engine, LATE)
    make_rescue(office).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'queued' AND crashes = 0") == 2


def test_a_worker_that_beats_keeps_its_tasks(office: Office, engine: Engine) -> None:
    claim_all(engine, make_worker(engine), [put_in(engine, 1).tasks[0].id])
    execute(engine, "UPDATE worker SET beat_at = now() - interval '10 seconds'")
    make_rescue(office).turn()
    assert scalar(engine, "SELECT state FROM task") == "running"


def test_a_rescue_that_was_cut_off_is_taken_up(office: Office, engine: Engine) -> None:
    """The worker was marked by a leader that died then: the next pass compares, it doesn't remember."""
    claim_all(engine, make_worker(engine), [put_in(engine, 1).tasks[0].id])
    execute(engine, "UPDATE worker SET lost_at = now(), state = 'lost'")
    make_rescue(office).turn()
    assert scalar(engine, "SELECT state FROM task") == "queued"


def test_more_tasks_than_one_batch_are_all_rescued(office: Office, engine: Engine) -> None:
    claim_all(engine, make_worker(engine), [task.id for task in put_in(engine, 1500).tasks])
    execute(engine, LATE)
    make_rescue(office).turn()
    assert scalar(engine, "SELECT count(*) FROM task WHERE state = 'running'") == 0


def test_a_task_that_ends_its_workers_is_failed_at_the_limit(office: Office, engine: Engine) -> None:
    claim_all(engine, make_worker(engine), [put_in(engine, 1).tasks[0].id])
    execute(engine, LATE)
    make_rescue(office, crash_limit=1).turn()
    assert scalar(engine, "SELECT error ->> 'code' FROM task WHERE state = 'failed'") == "crash_limit"
    assert office.value("tasks_dead_lettered_total", reason="crash_limit") == 1


def test_after_a_restart_of_postgresql_rescue_pauses_for_one_lease(office: Office, engine: Engine) -> None:
    """Every beat looks overdue then, though the workers live."""
    claim_all(engine, make_worker(engine), [put_in(engine, 1).tasks[0].id])
    execute(engine, LATE)
    ground = office.ground
    ground._pause = 20.0
    assert office.leadership.read(ground.steady)
    assert ground._seen is not None
    ground._seen = (ground._seen[0] - timedelta(hours=1), ground._seen[1])  # it was another one before
    rescue = make_rescue(office)
    rescue.turn()
    office.clock.now += 2.0
    office.leadership.campaign()
    rescue.turn()
    assert scalar(engine, "SELECT state FROM task") == "running"
    for _ in range(9):
        office.clock.now += 2.1
        office.leadership.campaign()
    rescue.turn()
    assert scalar(engine, "SELECT state FROM task") == "queued"


def test_a_new_timeline_is_a_change_too(office: Office) -> None:
    office.leadership.read(office.ground.steady)
    assert office.ground._seen is not None
    started, timeline = office.ground._seen
    assert len(timeline) == 8
    before = office.ground.changes
    office.ground.observe(started, "000000FF", 1e6)
    assert office.ground.changes == before + 1
