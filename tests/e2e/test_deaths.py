"""Whatever dies, every accepted task ends, and the ledger says how."""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.effects import effects
from tests.support.fleet import Fleet, children, once_within, wait_for

pytestmark = pytest.mark.e2e


def test_a_killed_child_s_task_is_queued_again_within_two_seconds_and_done_by_another_attempt(
    fleet: Fleet,
) -> None:
    worker = fleet.start_all(threads=2)
    task_id = fleet.submit("tests.effect", {"seconds": 30.0})
    fleet.wait_state(task_id, "running")
    wait_for(lambda: len(effects(fleet.effects)) == 1, 30, "the task to begin")
    fleet.quick_from_now_on()
    (child,) = children(worker.pid)

    os.kill(child, signal.SIGKILL)

    fleet.wait_final([task_id], 40)
    task = fleet.task(task_id)
    assert (task.state, task.attempt, task.crashes, task.failures) == ("succeeded", 2, 1, 0)
    lost, done = fleet.attempts(task_id)
    assert (lost.outcome, lost.attempt, lost.cause) == ("crashed", 1, "killed by signal 9 (SIGKILL)")
    assert lost.peak_memory_bytes > 1_000_000
    assert (done.outcome, done.attempt) == ("succeeded", 2)
    assert effects(fleet.effects) == [task_id, task_id]

    def until_it_is_queued_again() -> float:
        again = fleet.submit("tests.effect", {"seconds": 30.0})
        wait_for(lambda: again in effects(fleet.effects), 30, "the task to begin")
        fleet.quick_from_now_on()
        killed_at = datetime.now(UTC)
        os.kill(children(worker.pid)[0], signal.SIGKILL)
        fleet.wait_final([again], 40)
        queued_at: datetime = fleet.attempts(again)[0].finished_at
        return (queued_at - killed_at).total_seconds()

    once_within(2, until_it_is_queued_again, "it is queued again")


def test_a_child_s_death_costs_nothing_to_tasks_that_had_not_begun(fleet: Fleet) -> None:
    worker = fleet.start_all(threads=1)
    # Quick ones first, so that the child claims ahead; then one that holds the only thread.
    fleet.wait_final(fleet.submit_many(50, "diagnostics.echo", {"value": 1}), 20)
    ids = [fleet.submit("tests.effect", {"seconds": 30.0}), *fleet.submit_many(10, "tests.effect")]
    fleet.wait_state(ids[0], "running")
    wait_for(lambda: ids[0] in effects(fleet.effects), 30, "the first to begin")
    fleet.quick_from_now_on()

    os.kill(children(worker.pid)[0], signal.SIGKILL)

    assert fleet.wait_final(ids, 20) == {"succeeded": 11}
    crashes = {row.id: row.crashes for row in fleet.query("SELECT id, crashes FROM task WHERE crashes > 0")}
    assert [str(i) for i in crashes] == [ids[0]]


def test_a_task_that_kills_its_worker_each_time_fails_with_crash_limit(fleet: Fleet) -> None:
    fleet.start_all(threads=1)
    task_id = fleet.submit("diagnostics.crash", {"signal": 11, "times": 99})
    other = fleet.submit("tests.effect")
    fleet.wait_final([task_id, other], 40)
    task = fleet.task(task_id)
    assert (task.state, task.crashes, task.error["code"]) == ("failed", 3, "crash_limit")
    assert [a.cause for a in fleet.attempts(task_id)] == ["killed by signal 11 (SIGSEGV)"] * 3
    assert fleet.task(other).state == "succeeded"


def test_a_killed_worker_s_tasks_are_rescued_after_the_lease(fleet: Fleet) -> None:
    fleet.environment["TASKYARD_WORKER_LEASE_SECONDS"] = "4"
    worker = fleet.start_all(threads=2)
    ids = [fleet.submit("tests.effect", {"seconds": 30.0}) for _ in range(2)]
    wait_for(lambda: len(effects(fleet.effects)) == 2, 20, "both to begin")
    fleet.quick_from_now_on()
    offspring = children(worker.pid)

    killed_at = datetime.now(UTC)
    worker.kill()
    worker.wait(5)
    wait_for(lambda: not any(alive(pid) for pid in offspring), 30, "its children to die with it")
    fleet.start_worker(threads=2)

    assert fleet.wait_final(ids, 40) == {"succeeded": 2}
    for task_id in ids:
        assert fleet.task(task_id).attempt == 2
        *lost, done = fleet.attempts(task_id)
        assert done.outcome == "succeeded"
        assert timedelta() < lost[0].finished_at - killed_at < timedelta(seconds=4 + 10), "lease + 10 s"
    rows = fleet.query("SELECT extract(epoch FROM lost_at - beat_at) AS s FROM worker WHERE lost_at IS NOT NULL")
    assert len(rows) == 1
    assert 4 <= rows[0].s <= 4 + 10


def test_a_stopping_worker_finishes_what_runs_and_exits_with_0(fleet: Fleet) -> None:
    worker = fleet.start_all(threads=2, processes=2)
    ids = [fleet.submit("tests.effect", {"seconds": 1.5}) for _ in range(4)]
    wait_for(lambda: len(effects(fleet.effects)) == 4, 20, "all to begin")
    late = fleet.submit_many(20, "tests.effect")

    worker.terminate()
    assert worker.wait(20) == 0

    assert fleet.states(ids) == {"succeeded": 4}
    assert set(fleet.states(late)) <= {"queued", "succeeded"}
    assert all(fleet.task(i).crashes == fleet.task(i).failures == 0 for i in late)
    fleet.start_worker()
    assert fleet.wait_final(late, 20) == {"succeeded": 20}
    assert sorted(effects(fleet.effects)) == sorted(ids + late)


def test_what_a_stopping_worker_cannot_finish_in_time_runs_elsewhere_at_no_cost(fleet: Fleet) -> None:
    worker = fleet.start_all("--drain-seconds", "1", threads=2)
    task_id = fleet.submit("tests.effect", {"seconds": 60.0})
    wait_for(lambda: len(effects(fleet.effects)) == 1, 20, "it to begin")
    fleet.quick_from_now_on()

    worker.terminate()
    assert worker.wait(30) == 0, "it does not wait for the end of the task"
    fleet.start_worker(threads=2)

    assert fleet.wait_final([task_id], 20) == {"succeeded": 1}
    task = fleet.task(task_id)
    assert (task.attempt, task.crashes, task.failures) == (2, 0, 0)
    assert [a.outcome for a in fleet.attempts(task_id)] == ["released", "succeeded"]


def test_a_child_is_replaced_after_its_number_of_tasks_and_loses_none(fleet: Fleet) -> None:
    worker = fleet.start_all("--max-tasks-per-child", "20", threads=4)
    first = children(worker.pid)
    ids = fleet.submit_many(100, "tests.effect")
    assert fleet.wait_final(ids, 40) == {"succeeded": 100}
    assert sorted(effects(fleet.effects)) == sorted(ids)
    wait_for(lambda: bool(children(worker.pid)) and children(worker.pid) != first, 20, "a new child")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
