"""What a task forks or starts neither goes on in the worker nor outlives its process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.worker.processes import LedgerFleet, lines
from tests.integration.worker.test_processes import metric, runs
from tests.support.effects import effects
from tests.support.fleet import children, free_port, wait_for
from tests.support.sick import FORK_VARIABLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

COPY = ["return", "raise", "exec"]


@pytest.fixture
def sick(workers: LedgerFleet) -> LedgerFleet:
    workers.fleet.environment["TASKYARD_TASK_MODULES"] += ",tests.support.sick"
    return workers


def told(workers: LedgerFleet, task_id: UUID) -> object:
    return workers.row(task_id).result["told"]


def reported(workers: LedgerFleet) -> int | None:
    """The process that the task has told of."""
    rows = workers.harness.query("SELECT current FROM task_progress")
    return int(rows[0].current) if rows else None


@pytest.mark.parametrize("name", ["tests.fork", pytest.param("tests.async_fork", marks=pytest.mark.long)])
@pytest.mark.parametrize("copy_does", COPY)
def test_a_copy_of_the_process_that_comes_back_from_its_task_ends_and_writes_nothing(
    sick: LedgerFleet, name: str, copy_does: str
) -> None:
    worker = sick.fleet.start_worker(threads=2)
    (task,) = sick.put(name, copy_does=copy_does)
    assert sick.wait([task]) == ["succeeded"]
    assert told(sick, task) == 1, "the exit code of the copy"
    said = sick.harness.query("SELECT data FROM task_event WHERE task_id = :id AND kind IN ('log', 'stage')", id=task)
    assert not [row for row in said if "of a copy" in str(row.data)]
    assert sick.wait(sick.put("tests.effect", 5)) == ["succeeded"] * 5
    assert len(effects(sick.fleet.effects)) == 5, "no copy runs a task"
    worker.terminate()
    assert worker.wait(20) == 0
    assert "Traceback" not in sick.fleet.logs()


@pytest.mark.parametrize("name", ["tests.async_fork", "tests.async_fork_in_a_subtask"])
def test_a_copy_that_waits_on_the_event_loop_runs_none_of_the_other_coroutines(sick: LedgerFleet, name: str) -> None:
    sick.fleet.start_worker(threads=2)
    neighbours = sick.put("tests.async", 10, seconds=10.0)
    wait_for(lambda: set(sick.harness.states(neighbours)) == {"running"}, 20, "the neighbours to run")
    (task,) = sick.put(name, copy_does="wait") if name == "tests.async_fork" else sick.put(name)
    assert sick.wait([task, *neighbours], 40) == ["succeeded"] * 11
    assert told(sick, task) == 1


@pytest.mark.parametrize("where", ["at import", "in a hook"])
def test_a_copy_ends_wherever_the_code_that_made_it_comes_back_to_the_worker(sick: LedgerFleet, where: str) -> None:
    sick.fleet.environment[FORK_VARIABLE] = where
    worker = sick.fleet.start_worker(threads=1)
    ids = sick.put("tests.effect", 5)
    assert sick.wait(ids) == ["succeeded"] * 5
    assert sorted(effects(sick.fleet.effects)) == sorted(map(str, ids)), "no copy runs a task"
    (child,) = children(worker.pid)
    threads = [int(thread.name) for thread in Path(f"/proc/{child}/task").iterdir()]
    copies = [int(p) for t in threads for p in Path(f"/proc/{child}/task/{t}/children").read_text().split()]
    assert copies
    wait_for(lambda: not any(map(runs, copies)), 10, "the copies to end")
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.parametrize("copy_does", COPY)
def test_the_limits_of_a_task_hold_whatever_its_copy_did(sick: LedgerFleet, copy_does: str) -> None:
    """The copy comes back while the task itself runs on, and hears no cancellation."""
    sick.fleet.environment["TASKYARD_CANCEL_GRACE_SECONDS"] = "0.5"
    sick.fleet.start_worker(threads=1)
    (task,) = sick.put("tests.fork", copy_does=copy_does, seconds=60.0)
    wait_for(lambda: reported(sick), 20, "the copy")
    sick.harness.execute("UPDATE task SET cancel_requested_at = now() WHERE id = :id", id=task)
    assert sick.wait([task]) == ["cancelled"]


def test_a_worker_that_stops_does_not_wait_for_a_copy(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker("--drain-seconds", "60", threads=1)
    (task,) = sick.put("tests.sick", do="leave_copy", seconds=600.0)
    assert sick.wait([task]) == ["succeeded"]
    copy = reported(sick)
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(30) == 0
    assert time.monotonic() - began < 30, "half of the drain time"
    assert not runs(copy)


def test_processes_of_multiprocessing_and_prepared_programs_work_in_a_task(sick: LedgerFleet) -> None:
    sick.fleet.start_worker(threads=2)
    (many,) = sick.put("tests.sick", do="multiprocess")
    (prepared,) = sick.put("tests.sick", do="prepared_program")
    assert sick.wait([many, prepared]) == ["succeeded"] * 2
    assert told(sick, many) == ["answer", 0, -signal.SIGTERM]
    assert told(sick, prepared) == "done\n"


def test_a_copy_does_not_use_the_connections_of_its_process(sick: LedgerFleet) -> None:
    sick.fleet.start_worker(threads=1)
    ids = [*sick.put("tests.database"), *sick.put("tests.sick", do="use_context_in_copy")]
    assert sick.wait(ids) == ["succeeded"] * 2
    said = told(sick, ids[1])
    assert isinstance(said, list)
    assert len(said) == 2
    assert all(line.startswith("RuntimeError: a copy of the process") for line in said), said
    assert sick.wait(sick.put("tests.database")) == ["succeeded"], "the connections are as they were"


@pytest.mark.parametrize("left", ["leave_program", "leave_daemon", "leave_copy"])
@pytest.mark.long
def test_what_a_task_leaves_running_is_told_and_ends_with_its_process(sick: LedgerFleet, left: str) -> None:
    port = free_port()
    worker = sick.fleet.start_worker("--metrics-port", str(port), threads=1)
    (task,) = sick.put("tests.sick", do=left, seconds=600.0)
    assert sick.wait([task]) == ["succeeded"]
    program = told(sick, task)
    assert isinstance(program, int)
    wait_for(lambda: lines(sick.fleet.logs(), '"program_left"', f'"pid": {program}'), 10, "the log to name it")
    wait_for(lambda: metric(port, "task_programs_left_total") == 1, 10, "the count")
    if left != "leave_daemon":  # whose parent is gone: no task can be named for sure
        (line,) = sick.harness.query("SELECT data FROM task_event WHERE task_id = :id AND kind = 'log'", id=task)
        assert str(program) in line.data["message"]
    assert sick.wait(sick.put("tests.effect", 3)) == ["succeeded"] * 3
    assert runs(program)
    assert metric(port, "task_programs_left_total") == 1, "it is told once"
    os.kill(children(worker.pid)[0], signal.SIGKILL)
    wait_for(lambda: not runs(program), 10, "it to end")


def test_a_program_in_a_session_of_its_own_ends_with_a_task_that_is_ended_by_force(sick: LedgerFleet) -> None:
    sick.fleet.environment["TASKYARD_CANCEL_GRACE_SECONDS"] = "0.5"
    sick.fleet.start_worker(threads=1)
    (task,) = sick.put("tests.sick", do="stay_with_program", seconds=600.0)
    wait_for(lambda: reported(sick), 20, "the program")
    program = reported(sick)
    sick.harness.execute("UPDATE task SET cancel_requested_at = now() WHERE id = :id", id=task)
    assert sick.wait([task]) == ["cancelled"]
    wait_for(lambda: not runs(program), 10, "it to end")


def test_the_programs_of_one_child_outlive_another_one(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(processes=2, threads=1)
    (task,) = sick.put("tests.sick", do="leave_daemon", seconds=600.0)
    assert sick.wait([task]) == ["succeeded"]
    program = told(sick, task)
    index = int(sick.row(task).worker.rpartition(":")[2])
    wait_for(lambda: len(_pids(sick)) == 2, 10, "a heartbeat with both children")
    by_index = _pids(sick)
    os.kill(by_index[1 - index], signal.SIGKILL)
    wait_for(lambda: by_index[1 - index] not in (now := _pids(sick)).values() and len(now) == 2, 20, "its successor")
    time.sleep(1.0)
    assert runs(program)  # type: ignore[arg-type]
    worker.terminate()
    assert worker.wait(20) == 0
    assert not runs(program)  # type: ignore[arg-type]


def test_a_copy_that_takes_another_name_ends_with_its_child(sick: LedgerFleet) -> None:
    sick.fleet.start_worker(processes=2, threads=1)
    (task,) = sick.put("tests.sick", do="leave_renamed_copy", seconds=600.0)
    assert sick.wait([task]) == ["succeeded"]
    index = int(sick.row(task).worker.rpartition(":")[2])
    wait_for(lambda: len(_pids(sick)) == 2, 10, "a heartbeat with both children")
    os.kill(_pids(sick)[index], signal.SIGKILL)
    wait_for(lambda: not runs(told(sick, task)), 10, "it to end")  # type: ignore[arg-type]


def _pids(workers: LedgerFleet) -> dict[int, int]:
    """Of the worker's children, by their index, as the last heartbeat told them."""
    rows = workers.harness.query("SELECT children FROM worker WHERE id <> :id", id=workers.harness.worker_id)
    return {child["index"]: child["pid"] for row in rows for child in row.children if child["state"] == "running"}
