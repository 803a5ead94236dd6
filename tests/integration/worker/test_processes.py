"""Supervisor and children as processes: starting, stopping, recycling, being given up.

What happens when they are killed, and when servers go away, is in tests/e2e.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from taskyard_worker.supervisor.autoscale import SHRINK_SECONDS
from tests.integration.worker.processes import LedgerFleet, lines
from tests.support.effects import effects
from tests.support.fleet import children, free_port, wait_for
from tests.support.oddities import EXIT_VARIABLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(port: int, name: str, **labels: str) -> float:
    """The sum over the series that carry these labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5.0).text
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(rf"taskyard_{name}\{{(.*)\}} (\S+)", line)
        if found and all(f'{k}="{v}"' in found[1] for k, v in labels.items()):
            total += float(found[2])
    return total


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TASKYARD_SECRET_KEYS", "not-a-key", "TASKYARD_SECRET_KEYS: each key must be 32 url-safe"),
        ("TASKYARD_TASK_MODULES", "no.such_module", "No module named 'no'"),
        ("TASKYARD_TASK_MODULES", "tests.support.orphan_types", "no function implements tests.orphan"),
        ("TASKYARD_SMTP_PORT", "many", "TASKYARD_SMTP_PORT: "),
        ("TASKYARD_KITS", "geoo", "TASKYARD_KITS: there is no kit 'geoo'"),
        ("TASKYARD_REDIS_URL", "http://nowhere", "TASKYARD_REDIS_URL: must be a Redis URL"),
    ],
)
def test_a_worker_that_cannot_start_as_it_is_told_to_exits_with_2_and_says_why_once(
    workers: LedgerFleet, variable: str, value: str, words: str
) -> None:
    workers.fleet.environment[variable] = value
    worker = workers.start_raw("--processes", "3")
    assert worker.wait(60) == 2
    log = workers.fleet.logs()
    assert len(lines(log, words)) == 1, log
    assert "Traceback" not in log
    assert lines(log, '"level": "error"') == []


def test_a_worker_of_production_says_that_it_has_no_database_for_tasks(workers: LedgerFleet) -> None:
    workers.fleet.environment["APP_ENV"] = "production"
    for count in (0, 1):
        workers.fleet.start_worker(has_types=False)
        assert len(lines(workers.fleet.logs(), "TASKYARD_TASK_DATABASE_URL is not set", '"level": "warning"')) == count
        workers.fleet.environment.pop("TASKYARD_TASK_DATABASE_URL", None)


def test_a_signal_while_the_children_are_just_starting_ends_the_worker_in_order(workers: LedgerFleet) -> None:
    for pause in (0.0, 0.2, 0.5):
        before = workers.fleet.workers()
        worker = workers.start_raw("--processes", "2")
        wait_for(lambda before=before: workers.fleet.workers() > before, 30, "the worker to register")  # type: ignore[misc]
        time.sleep(pause)
        worker.terminate()
        assert worker.wait(60) == 0
    log = workers.fleet.logs()
    assert "Traceback" not in log
    assert lines(log, '"level": "error"') == []
    states = workers.harness.query("SELECT state FROM worker WHERE id <> :id", id=workers.harness.worker_id)
    assert [row.state for row in states] == ["stopped"] * 3


def test_a_child_that_gets_sigterm_finishes_what_it_has_and_another_one_takes_over(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker(threads=2)
    ids = workers.put("tests.effect", 2, seconds=1.0)
    wait_for(lambda: len(effects(workers.fleet.effects)) == 2, 20, "both to begin")
    (child,) = children(worker.pid)
    os.kill(child, signal.SIGTERM)
    ids += workers.put("tests.effect", 10)
    assert workers.wait(ids) == ["succeeded"] * 12
    assert sorted(effects(workers.fleet.effects)) == sorted(map(str, ids))
    wait_for(lambda: len(children(worker.pid)) == 1 and child not in children(worker.pid), 20, "the other child")
    assert {row.crashes for row in workers.harness.query("SELECT crashes FROM task")} == {0}


def test_a_child_above_its_memory_limit_is_replaced_and_no_task_pays_for_it(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--max-memory-per-child", "200", threads=2)
    (child,) = children(worker.pid)
    ids = workers.put("tests.odd", do="grow") + workers.put("tests.effect", 5)
    assert workers.wait(ids) == ["succeeded"] * 6
    wait_for(lambda: len(children(worker.pid)) == 1 and child not in children(worker.pid), 20, "the other child")
    assert lines(workers.fleet.logs(), "child_worn", "max_memory")
    assert workers.wait(workers.put("tests.effect")) == ["succeeded"]


@pytest.mark.parametrize(
    ("limit", "tasks", "params"),
    [
        (["--max-tasks-per-child", "3"], 3, {}),
        pytest.param(["--max-memory-per-child", "200"], 1, {"do": "grow"}, marks=pytest.mark.long),
    ],
    ids=["tasks", "memory"],
)
def test_what_runs_in_a_child_that_is_recycled_ends_there_while_others_run_in_its_successor(
    workers: LedgerFleet, limit: list[str], tasks: int, params: dict[str, str]
) -> None:
    workers.fleet.start_worker(*limit, threads=2)
    (long,) = workers.put("tests.effect", seconds=20.0)
    wait_for(lambda: len(effects(workers.fleet.effects)) == 1, 20, "it to begin")
    workers.wait(workers.put("tests.odd", tasks, **params))
    wait_for(lambda: lines(workers.fleet.logs(), '"child_retiring"'), 30, "the child to be recycled")
    assert workers.wait(workers.put("tests.effect", 1)) == ["succeeded"]
    assert workers.harness.states([long]) == ["running"], "nothing waits for it"
    assert workers.wait([long], 40) == ["succeeded"]
    assert effects(workers.fleet.effects).count(str(long)) == 1
    rows = workers.harness.query("SELECT right(worker, 2) AS child FROM task_attempt WHERE task_id = :id", id=long)
    assert [row.child for row in rows] == [":0"]


@pytest.mark.long
def test_a_child_that_is_to_be_replaced_works_on_until_its_successor_is_there(workers: LedgerFleet) -> None:
    workers.fleet.environment["TASKYARD_WORKER_CHILDREN"] = "spawn"  # a forked one is there before a task has ended
    workers.fleet.start_worker("--max-tasks-per-child", "5", threads=1)
    ids: list[UUID] = []

    def is_working(child: int) -> bool:
        """There is always something to do until then, however long it takes to start."""
        if workers.harness.states(ids).count("queued") < 30:
            ids.extend(workers.put("tests.effect", 30, seconds=0.05))
        return bool(workers.harness.query("SELECT FROM task_attempt WHERE worker LIKE :child", child=f"%:{child}"))

    wait_for(lambda: is_working(0) and is_working(1), 60, "the successor to work")
    second = json.loads(lines(workers.fleet.logs(), '"child_started"')[1])
    spawned = datetime.fromisoformat(second["timestamp"])
    rows = workers.harness.query("SELECT right(worker, 2) AS child, started_at FROM task_attempt ORDER BY started_at")
    came = next(row.started_at for row in rows if row.child == f":{second['child']}")
    last_before = max(row.started_at for row in rows if row.started_at < came)
    assert last_before > spawned + (came - spawned) / 2, "no task ran while it started"


@pytest.mark.long
def test_counts_survive_children_that_replace_each_other_under_the_same_index(workers: LedgerFleet) -> None:
    port = free_port()
    worker = workers.fleet.start_worker("--max-tasks-per-child", "5", "--metrics-port", str(port), threads=2)
    seen = set(children(worker.pid))

    def is_replaced() -> bool:
        now = children(worker.pid)
        return len(now) == 1 and not seen.issuperset(now)

    ids: list[UUID] = []
    for _ in range(4):
        batch = workers.put("tests.effect", 10)
        ids += batch
        assert workers.wait(batch) == ["succeeded"] * 10
        wait_for(is_replaced, 20, "a new child")
        seen |= set(children(worker.pid))
    # Counted right after what is waited for.
    wait_for(lambda: metric(port, "worker_children_restarted_total", cause="retired") >= 4, 10, "the count of them")
    wait_for(lambda: metric(port, "task_attempts_total", task="tests.effect", outcome="succeeded") >= 40, 10, "theirs")
    assert metric(port, "task_attempts_total", task="tests.effect", outcome="succeeded") == len(ids) == 40
    wait_for(lambda: metric(port, "tasks_in_progress") == 0, 10, "nothing in progress")
    assert len(list(Path(f"/proc/{worker.pid}/fd").iterdir())) < 40, "no descriptor stays behind"


def test_children_that_end_because_the_worker_stops_are_not_counted_as_restarted(workers: LedgerFleet) -> None:
    port = free_port()
    worker = workers.fleet.start_worker("--metrics-port", str(port), processes=2, threads=1)
    workers.put("tests.effect", 1, seconds=60)
    wait_for(lambda: metric(port, "tasks_in_progress") == 1, 30, "the task to run")
    for dependency in ("database", "redis"):
        wait_for(lambda name=dependency: metric(port, "dependency_up", dependency=name) == 1, 10, dependency)  # type: ignore[misc]
    assert metric(port, "db_pool_connections") >= 2, "the supervisor's and the child's"
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: len(children(worker.pid)) == 1, 20, "the idle child to end")
    time.sleep(0.3)
    assert metric(port, "worker_children_restarted_total") == 0
    worker.send_signal(signal.SIGTERM)  # again: now
    assert worker.wait(20) == 0


@pytest.mark.long
def test_children_that_die_at_once_are_followed_by_others_ever_more_slowly(workers: LedgerFleet) -> None:
    workers.fleet.environment[EXIT_VARIABLE] = "1"
    worker = workers.start_raw("--processes", "1")
    died: Callable[[], int] = lambda: len(lines(workers.fleet.logs(), "child_died", "exit code 5"))  # noqa: E731
    wait_for(lambda: died() >= 3, 60, "three deaths")
    before, began = cpu_seconds(worker.pid), time.monotonic()
    wait_for(lambda: died() >= 5, 60, "two more")
    spent = (cpu_seconds(worker.pid) - before) / (time.monotonic() - began)
    assert spent < 0.3, "the supervisor sleeps in between"
    said = [json.loads(line)["timestamp"] for line in lines(workers.fleet.logs(), "child_died", "exit code 5")]
    pauses = [(b - a).total_seconds() for a, b in pairwise(map(datetime.fromisoformat, said))]
    # 0.5 s doubled each time, at least half of it.
    assert all(pause > 0.25 * 2**n for n, pause in enumerate(pauses)), pauses
    worker.terminate()
    assert worker.wait(20) == 0


def test_a_worker_with_a_range_of_processes_starts_more_while_no_thread_is_free(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker(processes="1:3", threads=1)
    ids = workers.put("tests.effect", 60, seconds=0.5)
    wait_for(lambda: len(children(worker.pid)) == 3, 30, "three children")
    workers.wait(ids, 60)
    ran_in = {row.worker for row in workers.harness.query("SELECT worker FROM task_attempt")}
    assert len(ran_in) == 3, "each of them has work"


@pytest.mark.long
@pytest.mark.slow
def test_a_worker_with_a_range_of_processes_has_fewer_once_fewer_would_do_and_ends_no_task(
    workers: LedgerFleet,
) -> None:
    worker = workers.fleet.start_worker(processes="1:2", threads=4)
    longest = 2.5 * SHRINK_SECONDS
    # The first child is full, so that the last task begins in a second one; later, one child would do for both.
    ids = [workers.put("tests.effect", seconds=seconds)[0] for seconds in (longest, 15.0, 15.0, 15.0, longest)]
    wait_for(lambda: len(effects(workers.fleet.effects)) == 5, 30, "all to begin")
    wait_for(lambda: lines(workers.fleet.logs(), '"child_retiring"'), 2 * SHRINK_SECONDS + 15, "one to retire")
    assert workers.harness.states([ids[0], ids[4]]) == ["running"] * 2, "it has work"
    assert workers.wait(ids, 120) == ["succeeded"] * 5
    wait_for(lambda: len(children(worker.pid)) == 1, 20, "one child")
    rows = workers.harness.query("SELECT attempt, worker FROM task")
    assert {row.attempt for row in rows} == {1}
    assert len({row.worker for row in rows}) == 2


def test_a_worker_that_was_given_up_ends_its_children_and_goes_on_under_another_name(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker(threads=2)
    ids = workers.put("tests.effect", 2, seconds=20.0)
    wait_for(lambda: len(effects(workers.fleet.effects)) == 2, 20, "both to begin")
    (child,) = children(worker.pid)
    # What the scheduler's rescue does.
    workers.harness.execute(
        "UPDATE worker SET lost_at = now(), state = 'lost' WHERE id <> :id", id=workers.harness.worker_id
    )
    wait_for(lambda: child not in children(worker.pid), 10, "the child to be ended")
    wait_for(lambda: set(workers.harness.states(ids)) == {"queued"}, 10, "its claims to be given back")
    assert {row.crashes for row in workers.harness.query("SELECT crashes FROM task")} == {0}
    workers.harness.execute("UPDATE task SET params = '{\"seconds\": 0}'")
    workers.again()
    assert workers.wait(ids) == ["succeeded"] * 2
    (live,) = workers.harness.query(
        "SELECT name FROM worker WHERE lost_at IS NULL AND stopped_at IS NULL AND id <> :id",
        id=workers.harness.worker_id,
    )
    assert {row.worker.partition(":")[0] for row in workers.harness.query("SELECT worker FROM task")} == {live.name}
    worker.terminate()
    assert worker.wait(20) == 0


def test_a_worker_that_is_given_up_while_it_drains_kills_its_children(
    workers: LedgerFleet,
) -> None:
    worker = workers.fleet.start_worker(threads=1)
    workers.put("tests.effect", seconds=60.0)
    wait_for(lambda: len(effects(workers.fleet.effects)) == 1, 20, "it to begin")
    worker.terminate()
    wait_for(lambda: bool(lines(workers.fleet.logs(), "worker_draining")), 10, "it to drain")
    workers.harness.execute(
        "UPDATE worker SET lost_at = now(), state = 'lost' WHERE id <> :id", id=workers.harness.worker_id
    )
    assert worker.wait(15) == 0


def test_async_tasks_are_finished_before_a_worker_stops(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--drain-seconds", "60", threads=2)
    ids = workers.put("tests.async", 20, seconds=10.0) + workers.put("tests.async", 2, seconds=9.5, fail=True)
    wait_for(lambda: set(workers.harness.states(ids)) == {"running"}, 20, "all to run at once, on two threads")
    worker.terminate()
    assert worker.wait(60) == 0
    assert workers.harness.states(ids) == ["succeeded"] * 20 + ["failed"] * 2


def test_a_task_that_exits_its_process_costs_no_other_task_an_attempt(workers: LedgerFleet) -> None:
    workers.fleet.start_worker(threads=4)
    (out,) = workers.put("tests.odd", do="sys_exit")
    assert workers.wait([out]) == ["failed"]
    assert workers.row(out).error["type"] == "SystemExit"

    (gone,) = workers.put("tests.odd", do="exit")
    wait_for(lambda: workers.row(gone).crashes >= 1, 20, "the loss to be recorded")
    lost, *_ = workers.harness.query("SELECT cause FROM task_attempt WHERE task_id = :id ORDER BY id", id=gone)
    assert lost.cause == "exit code 0"
    assert workers.wait(workers.put("tests.effect", 5), 40) == ["succeeded"] * 5


def test_a_thread_that_a_task_left_behind_does_not_keep_its_process(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--drain-seconds", "60", threads=1)
    assert workers.wait(workers.put("tests.odd", do="leave_a_thread")) == ["succeeded"]
    worker.terminate()
    assert worker.wait(40) == 0, "well before those that still run something would be killed"


def test_a_program_that_a_task_started_ends_with_its_process(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker("--drain-seconds", "1", threads=1)
    workers.put("tests.odd", do="start_a_program")

    def program(but: int | None = None) -> int | None:
        rows = workers.harness.query("SELECT current FROM task_progress")
        return int(rows[0].current) if rows and rows[0].current != but else None

    wait_for(lambda: program() is not None, 20, "the program")
    first = program()
    os.kill(children(worker.pid)[0], signal.SIGKILL)
    wait_for(lambda: not runs(first), 10, "it to end")
    wait_for(lambda: program(but=first) is not None, 20, "the next attempt's")
    second = program(but=first)
    worker.terminate()
    assert worker.wait(20) == 0
    wait_for(lambda: not runs(second), 10, "the other one to end")


def runs(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.long
def test_ten_thousand_lines_and_a_hundred_thousand_reports_end_as_promised(workers: LedgerFleet) -> None:
    workers.fleet.start_worker(threads=4)
    (talk,), (report,) = workers.put("tests.odd", do="talk"), workers.put("tests.odd", do="report")
    assert workers.wait([talk, report], 60) == ["succeeded"] * 2
    said = workers.harness.query(
        "SELECT data FROM task_event WHERE task_id = :id AND kind = 'log' ORDER BY id", id=talk
    )
    assert [row.data["message"] for row in said[:1000]] == [f"line {n}" for n in range(1000)]
    assert [row.data["message"] for row in said[1000:]] == ["further lines of this attempt are not kept"]
    (standing,) = workers.harness.query("SELECT current, total FROM task_progress WHERE task_id = :id", id=report)
    assert (standing.current, standing.total) == (100_000, 100_000)
