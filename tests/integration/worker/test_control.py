"""What a running worker does when it is asked to drain, to replace its children, or to keep another number of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from taskyard_dev.postgres import Postgres
from tests.integration.worker.processes import LedgerFleet, lines
from tests.support.effects import effects
from tests.support.fleet import children, repeating, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def no_others(workers: LedgerFleet) -> None:
    """The harness has registered a worker, too."""
    workers.harness.query("UPDATE worker SET state = 'stopped', stopped_at = now() RETURNING id")


def command(workers: LedgerFleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskyard_worker.cli", *arguments],
        env=workers.fleet.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def asked(workers: LedgerFleet, *arguments: str) -> list[dict[str, Any]]:
    ended = command(workers, *arguments, "--json")
    assert ended.returncode == 0, ended.stderr + workers.fleet.logs()[-3000:]
    return list(json.loads(ended.stdout))


def waiting(workers: LedgerFleet, *arguments: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "taskyard_worker.cli", *arguments, "--json", "--wait", "--seconds", str(seconds)],
        env=workers.fleet.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begun(workers: LedgerFleet) -> list[str]:
    return effects(workers.fleet.effects)


def each_ran_once(workers: LedgerFleet, ids: Sequence[UUID]) -> bool:
    """A claim that had not begun may have been given back: that is no attempt that ran."""
    rows = workers.harness.query("SELECT task_id FROM task_attempt WHERE task_id = ANY(:ids)", ids=list(ids))
    return sorted(row.task_id for row in rows) == sorted(ids) and sorted(begun(workers)) == sorted(map(str, ids))


def test_a_worker_that_is_drained_finishes_what_it_runs_beyond_the_time_of_a_signal_and_exits_with_0(
    workers: LedgerFleet,
) -> None:
    draining = workers.fleet.start_worker("--name", "old", "--drain-seconds", "1", processes=2, threads=2)
    running = workers.put("tests.effect", 4, seconds=6.0)
    wait_for(lambda: len(begun(workers)) == 4, 20, "all to begin")
    [row] = asked(workers, "drain", "old")
    assert (row["worker"], row["state"]) == ("old", "draining")
    wait_for(lambda: len(lines(workers.fleet.logs(), '"child_retiring"')) == 2, 20, "it to learn of it")
    later = workers.put("tests.effect", 3)
    assert draining.wait(30) == 0
    assert workers.harness.states(running) == ["succeeded"] * 4
    assert workers.harness.states(later) == ["queued"] * 3
    [stopped] = workers.harness.query("SELECT * FROM worker WHERE name = 'old'")
    assert (stopped.state, stopped.stopped_at is not None) == ("stopped", True)
    workers.fleet.start_worker("--name", "new")
    assert workers.wait(later) == ["succeeded"] * 3
    assert each_ran_once(workers, running + later)


@pytest.mark.long
def test_a_signal_gives_a_worker_that_is_drained_the_time_of_a_signal_from_then_on(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--name", "w", "--drain-seconds", "1", threads=1)
    [task] = workers.put("tests.effect", seconds=60.0)
    wait_for(lambda: begun(workers), 20, "it to begin")
    asked(workers, "drain", "--all")
    wait_for(lambda: lines(workers.fleet.logs(), '"child_retiring"'), 20, "it to drain")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert workers.harness.states([task]) == ["queued"]


@pytest.mark.long
def test_a_restart_under_load_replaces_every_child_and_one_attempt_of_each_task_runs(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--name", "w", "--max-tasks-per-child", "0", processes=2, threads=2)
    wait_for(lambda: len(lines(workers.fleet.logs(), '"child_ready"')) == 2, 30, "both to be ready")
    before = set(children(worker.pid))
    ids = workers.put("tests.effect", 2, seconds=3.0)
    wait_for(lambda: len(begun(workers)) == 2, 20, "two to run")
    with repeating(lambda: ids.extend(workers.put("tests.effect", 5)), every=0.1):
        [row] = asked(workers, "restart", "w", "--wait", "--seconds", "60")
    now = set(children(worker.pid))
    assert row["restart_asked_at"] is None
    assert not before & now
    assert workers.wait(ids, 60) == ["succeeded"] * len(ids)
    assert each_ran_once(workers, ids)
    time.sleep(2.5)  # two heartbeats: what was done is not done again
    assert set(children(worker.pid)) == now
    assert len(lines(workers.fleet.logs(), '"worker_restarting"')) == 1


@pytest.mark.long
def test_a_pool_grows_and_shrinks_under_load_and_one_attempt_of_each_task_runs(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--name", "w", processes=1, threads=2)
    ids = workers.put("tests.effect", 30, seconds=1.5)
    [grown] = asked(workers, "pool", "w", "4", "--wait", "--seconds", "60")
    assert (grown["processes"], len(children(worker.pid))) == (4, 4)
    running = "SELECT count(*) AS n FROM task WHERE state = 'running' AND started_at IS NOT NULL"
    wait_for(lambda: workers.harness.query(running)[0].n > 4, 30, "more to run at once than two children could")
    [shrunk] = asked(workers, "pool", "--all", "1", "--wait", "--seconds", "60")
    assert (shrunk["processes"], len(children(worker.pid))) == (1, 1)
    assert workers.wait(ids, 60) == ["succeeded"] * len(ids)
    assert each_ran_once(workers, ids)


def test_tasks_that_are_claimed_ahead_begin_once_under_a_restart_and_a_smaller_pool(workers: LedgerFleet) -> None:
    """What a retiring child has claimed and not begun is given back."""
    workers.fleet.start_worker("--name", "w", processes=2, threads=2)
    wait_for(lambda: len(lines(workers.fleet.logs(), '"child_ready"')) == 2, 30, "both to be ready")
    ids = workers.put("tests.effect", 500, seconds=0.01)
    queued = "SELECT count(*) AS n FROM task WHERE state = 'queued'"

    def refill() -> None:
        if workers.harness.query(queued)[0].n < 200:
            ids.extend(workers.put("tests.effect", 200, seconds=0.01))

    with repeating(refill, every=0.1):
        wait_for(lambda: len(begun(workers)) > 300, 30, "many to have run")
        for verb in (["restart", "w"], ["pool", "w", "1"]):
            asked(workers, *verb, "--wait", "--seconds", "60")
    assert set(workers.wait(ids, 120)) == {"succeeded"}
    assert each_ran_once(workers, ids)
    paid = "SELECT FROM task WHERE failures + crashes > 0"
    assert workers.harness.query(paid) == [], "whatever its number says"


def test_a_worker_that_a_signal_stops_is_asked_for_nothing_that_it_would_not_do(workers: LedgerFleet) -> None:
    workers.fleet.environment |= {"TASKYARD_HEARTBEAT_SECONDS": "120", "TASKYARD_WORKER_LEASE_SECONDS": "480"}
    worker = workers.fleet.start_worker("--name", "w", threads=1)
    workers.put("tests.effect", seconds=120.0)
    wait_for(lambda: begun(workers), 20, "it to begin")
    worker.terminate()
    told = "SELECT FROM worker WHERE name = 'w' AND state = 'draining'"
    wait_for(lambda: workers.harness.query(told), 20, "it to say so long before its next heartbeat")
    for verb in (["restart", "w"], ["pool", "w", "2"]):
        ended = command(workers, *verb)
        assert (ended.returncode, "not asked, because it drains" in ended.stderr) == (1, True), ended.stderr
    worker.terminate()  # it does not wait for its task
    assert worker.wait(20) == 0


@pytest.mark.long
def test_a_command_that_waits_outlasts_an_outage_of_postgresql_and_ends_with_3_where_the_outage_outlasts_it(
    own_workers: LedgerFleet, own_postgres: Postgres
) -> None:
    workers = own_workers  # its harness has a worker of its own, "w"
    workers.fleet.environment |= {"TASKYARD_HEARTBEAT_SECONDS": "1", "TASKYARD_WORKER_LEASE_SECONDS": "4"}
    worker = workers.fleet.start_worker("--name", "patient", threads=1)
    workers.put("tests.effect", seconds=25.0)
    wait_for(lambda: begun(workers), 20, "it to begin")
    patient = waiting(workers, "drain", "patient", seconds=120)
    drains = "SELECT FROM audit WHERE action = 'worker.drain'"
    wait_for(lambda: workers.harness.query(drains), 20, "the worker to be asked")
    hasty = waiting(workers, "drain", "patient", seconds=6)
    time.sleep(3.0)  # by then it waits, too
    own_postgres.stop()
    said = hasty.communicate(timeout=30)[1]
    assert (hasty.returncode, "PostgreSQL does not answer" in said) == (3, True), said
    time.sleep(2.0)  # the lease is over, too: each heartbeat is older
    own_postgres.start()
    rows, said = patient.communicate(timeout=60)
    assert patient.returncode == 0, said + workers.fleet.logs()[-3000:]
    assert [row["state"] for row in json.loads(rows)] == ["stopped"]
    assert worker.wait(20) == 0


def test_a_worker_learns_of_it_long_before_its_next_heartbeat(workers: LedgerFleet) -> None:
    workers.fleet.environment |= {"TASKYARD_HEARTBEAT_SECONDS": "120", "TASKYARD_WORKER_LEASE_SECONDS": "480"}
    worker = workers.fleet.start_worker("--name", "w", threads=1)
    for processes in (2, 1, 3):
        asked(workers, "pool", "w", str(processes))
        wait_for(lambda wanted=processes: len(children(worker.pid)) == wanted, 60, f"{processes} children")  # type: ignore[misc]
    asked(workers, "drain", "w")
    assert worker.wait(60) == 0


def test_what_is_asked_while_redis_is_away_is_done_at_the_next_heartbeat(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--name", "w", threads=1)
    nowhere = {**workers.fleet.environment, "TASKYARD_REDIS_URL": "redis://127.0.0.1:1/0"}
    there, workers.fleet.environment = workers.fleet.environment, nowhere
    asked(workers, "pool", "w", "2:3")
    workers.fleet.environment = there
    wait_for(lambda: len(children(worker.pid)) == 2, 30, "two children")
    told = "SELECT processes FROM worker WHERE stopped_at IS NULL"
    wait_for(lambda: workers.harness.query(told)[0].processes == 3, 20, "it to say so")
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.long
def test_a_command_that_cannot_be_done_ends_with_1_and_one_that_says_too_little_with_2(
    workers: LedgerFleet,
) -> None:
    busy = workers.fleet.start_worker("--name", "busy", threads=1)
    workers.put("tests.effect", seconds=120.0)
    wait_for(lambda: begun(workers), 20, "it to begin")
    gone = workers.fleet.start_worker("--name", "gone")
    gone.terminate()
    gone.wait(20)
    for arguments, code, said in (
        (["drain", "gone"], 1, "there is no living worker of the name or id gone"),
        (["drain", "busy", "--wait", "--seconds", "1"], 1, "not done: busy (draining)"),
        (["restart", "--all"], 1, "not asked, because it drains or has ended: busy (draining)"),
        (["restart"], 2, "say which"),
        (["drain", "gone", "--all"], 2, "say which"),
        (["pool", "gone"], 2, "say how many"),
        (["pool", "gone", "0"], 2, "must be a number from 1 to 64"),
    ):
        ended = command(workers, *arguments)
        assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
    for _ in range(2):  # at the second one it does not wait for its task
        busy.terminate()
        time.sleep(0.5)
    assert busy.wait(20) == 0
