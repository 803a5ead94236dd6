"""Limits of keys and queues, held by real workers together, through kills and a change of the leader."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.lifecycle import limits
from taskyard.store import ledger
from tests.support.fleet import Fleet, children, wait_for
from tests.support.schedules import leader_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Spans = dict[str, list[tuple[int, int]]]  # of each key: when so many more (or fewer) ran, in nanoseconds


def start(fleet: Fleet, *, workers: int = 2) -> list[int]:
    """The pids of the workers."""
    first = fleet.start_all(processes=2, threads=4)
    return [first.pid, *(fleet.start_worker(processes=2, threads=4).pid for _ in range(workers - 1))]


def submit(fleet: Fleet, count: int, key: str, seconds: float, **limit: Any) -> list[str]:
    """`key` is what the task writes down; without `limit` nothing limits it."""
    body: dict[str, Any] = {"name": "tests.span", "params": {"key": key, "seconds": seconds}}
    if limit:
        body["limits"] = {"key": key, **limit}
    answer = fleet.http.post("/tasks/batch", json={"tasks": [body] * count})
    assert answer.status_code == 202, answer.text
    return [item["id"] for item in answer.json()["items"]]


def spans(fleet: Fleet) -> Spans:
    found: Spans = defaultdict(list)
    for line in Path(f"{fleet.effects}.spans").read_text().splitlines():
        mark, key, at = line.split()
        found[key].append((int(at), 1 if mark == "+" else -1))
    return found


def most_at_a_time(marks: list[tuple[int, int]]) -> int:
    running = most = 0
    for _, change in sorted(marks):  # what ended at the moment at which another one began had ended before
        running += change
        most = max(most, running)
    return most


def test_workers_together_run_so_many_of_a_key_and_not_one_more(fleet: Fleet) -> None:
    start(fleet)
    ids = submit(fleet, 30, "three", 0.2, concurrent=3) + submit(fleet, 20, "one", 0.05, concurrent=1)
    ids += submit(fleet, 40, "free", 0.05)
    assert fleet.wait_final(ids, 90) == {"succeeded": 90}
    found = spans(fleet)
    assert (most_at_a_time(found["three"]), most_at_a_time(found["one"])) == (3, 1)
    assert most_at_a_time(found["free"]) > 3
    wait_for(lambda: not fleet.query("SELECT FROM limit_mark"), 30, "the leader to have looked at all marks")


def test_a_key_keeps_its_limit_while_processes_die(fleet: Fleet) -> None:
    workers = start(fleet)
    fleet.start_scheduler()
    ids = submit(fleet, 24, "k", 0.5, concurrent=2)
    for kill in ("child", "leader", "child"):
        begun = len(spans(fleet)["k"]) if Path(f"{fleet.effects}.spans").exists() else 0
        wait_for(lambda n=begun: Path(f"{fleet.effects}.spans").exists() and len(spans(fleet)["k"]) > n, 30)  # type: ignore[misc]
        if kill == "leader":
            victim = wait_for(lambda: leader_of(fleet), 30, "a leader")
        else:
            victim = wait_for(lambda: children(workers[0]), 30, "a child")[0]
        assert victim
        os.kill(victim, signal.SIGKILL)
        assert (held := fleet.query("SELECT count(*) AS n FROM task WHERE limited = 'granted'")[0].n) <= 2, held
    assert fleet.wait_final(ids, 90) == {"succeeded": 24}
    assert not fleet.query("SELECT FROM task WHERE limited = 'granted' OR limited = 'waiting'")


@pytest.mark.long
def test_a_queue_gets_a_limit_while_it_is_full_of_work_and_loses_it_again(fleet: Fleet) -> None:
    start(fleet)
    ids = submit(fleet, 60, "before", 0.1)
    change(fleet, 1)
    wait_for(lambda: fleet.query("SELECT count(*) AS n FROM task WHERE state = 'running'")[0].n <= 1, 20)
    after = submit(fleet, 10, "after", 0.1)
    seen = [fleet.query("SELECT count(*) AS n FROM task WHERE state = 'running'")[0].n for _ in range(50)]
    assert max(seen) <= 1
    change(fleet, None)
    assert fleet.wait_final(ids + after, 60) == {"succeeded": 70}


@pytest.mark.long
def test_a_limit_does_not_bring_a_queue_to_a_stand_in_which_thousands_wait(fleet: Fleet) -> None:
    start(fleet)
    for _ in range(8):
        submit(fleet, 1000, "many", 0.05)
    ended = "SELECT count(*) AS n FROM task WHERE state = 'succeeded'"
    wait_for(lambda: fleet.query(ended)[0].n > 50, 30, "it to run")
    change(fleet, 3)
    time.sleep(2)
    before = fleet.query(ended)[0].n
    # Refused by workers task by task, the others would take three times as long at least.
    wait_for(lambda: fleet.query(ended)[0].n - before > 30, 12, "tasks to end beside the walk")
    at_once = [fleet.query("SELECT count(*) AS n FROM task WHERE state = 'running'")[0].n for _ in range(20)]
    assert max(at_once) <= 3


def change(fleet: Fleet, concurrent: int | None) -> None:
    def verb(conn: sa.Connection) -> None:
        conn.execute(sa.text("UPDATE queue SET concurrent = :n WHERE name = 'default'"), {"n": concurrent})
        limits.changed(conn, "default")

    ledger.run_transaction(fleet.engine, verb)


@pytest.mark.long
def test_a_rate_is_kept_by_all_workers_together(fleet: Fleet) -> None:
    start(fleet)
    ids = submit(fleet, 20, "rate", 0.0, per_second=8.0)
    assert fleet.wait_final(ids, 60) == {"succeeded": 20}
    began = sorted(at for at, change in spans(fleet)["rate"] if change > 0)
    in_a_second = [sum(1 for other in began if at <= other < at + 10**9) for at in began]
    assert 6 <= max(in_a_second) <= 10, "eight, give or take what the way to a worker takes"


@pytest.mark.long
def test_keys_take_turns_in_a_queue_with_a_limit(fleet: Fleet) -> None:
    start(fleet, workers=1)
    change(fleet, 1)
    many = submit(fleet, 30, "many", 0.05, concurrent=9)
    few = submit(fleet, 5, "few", 0.05, concurrent=9)
    fleet.wait_final(few, 60)
    began = sorted((at, key) for key, marks in spans(fleet).items() for at, change in marks if change > 0)
    order = [key for key, _ in groupby(key for _, key in began)]
    assert len(order) >= 9, order
    assert fleet.wait_final(many, 60) == {"succeeded": 30}
