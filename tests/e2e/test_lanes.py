"""Lanes and pauses, on real processes: what is urgent goes first, nothing starves, and a paused queue stands still."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest

from tests.support.fleet import Fleet, once_within, seconds_until, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LANES = "high_priority,default,low_priority"
THREADS = 4


def put(fleet: Fleet, count: int, queue: str, seconds: float) -> None:
    for start in range(0, count, 1000):
        task = {"name": "diagnostics.sleep", "params": {"seconds": seconds}, "queue": queue}
        answer = fleet.http.post("/tasks/batch", json={"tasks": [task] * min(1000, count - start)})
        assert answer.status_code == 202, answer.text


def begun(fleet: Fleet, queue: str) -> int:
    found: int = fleet.query("SELECT count(started_at) AS n FROM task WHERE queue = :queue", queue=queue)[0].n
    return found


def change_queue(fleet: Fleet, queue: str, verb: str) -> dict[str, Any]:
    answer = fleet.http.post(f"/queues/{queue}/{verb}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_with_ten_thousand_low_tasks_waiting_a_high_one_begins_within_one_task_s_time(fleet: Fleet) -> None:
    fleet.start_all(queues=LANES, threads=THREADS)
    put(fleet, 10_000, "low_priority", seconds=0.2)
    wait_for(lambda: begun(fleet, "low_priority") > 2 * THREADS, 30, "the low ones to run")
    for _ in range(10):
        urgent = fleet.submit("diagnostics.sleep", {"seconds": 0.01}, queue="high_priority")
        fleet.wait_state(urgent, "succeeded")
    overtaken = fleet.query("""
        SELECT (SELECT count(*) FROM task_attempt a JOIN task low ON low.id = a.task_id
                WHERE low.queue = 'low_priority' AND a.started_at BETWEEN h.created_at AND h.started_at) AS n
        FROM task h WHERE h.queue = 'high_priority'""")
    # So many begin within one task's time.
    assert median(row.n for row in overtaken) <= THREADS, [row.n for row in overtaken]


def test_while_the_high_queue_is_never_empty_the_low_one_gets_its_share(fleet: Fleet) -> None:
    fleet.start_all("--lower-share", "0.25", queues=LANES, threads=THREADS)
    for queue in ("low_priority", "high_priority"):
        change_queue(fleet, queue, "pause")
        put(fleet, 1_000, queue, seconds=0.01)
    for queue in ("low_priority", "high_priority"):
        change_queue(fleet, queue, "resume")
    wait_for(lambda: begun(fleet, "high_priority") >= 600, 60, "most of the high ones to run")
    low = """SELECT count(*) AS n FROM task WHERE queue = 'low_priority' AND started_at <=
        (SELECT started_at FROM task WHERE queue = 'high_priority' AND started_at IS NOT NULL
         ORDER BY started_at OFFSET 599 LIMIT 1)"""
    share = fleet.query(low)[0].n / 600
    assert 0.15 < share < 0.35, share


def test_a_paused_queue_stands_still_within_a_second_and_through_restarts_and_goes_on_when_it_is_resumed(
    fleet: Fleet,
) -> None:
    worker = fleet.start_all(queues=LANES, threads=THREADS)
    put(fleet, 2_000, "default", seconds=0.05)
    wait_for(lambda: begun(fleet, "default") > 20, 30, "it to run")
    change_queue(fleet, "default", "pause")
    time.sleep(2.5)
    late = "SELECT count(*) AS n FROM task t, queue q WHERE q.name = t.queue AND t.started_at > q.paused_at + '1 s'"
    assert fleet.query(late)[0].n == 0
    worker.terminate()
    assert worker.wait(30) == 0
    fleet.start_worker(queues=LANES, threads=THREADS)
    other = fleet.submit("diagnostics.echo", {"value": 1}, queue="low_priority")
    fleet.wait_state(other, "succeeded")
    assert fleet.query(late)[0].n == 0, "and the other queues go on"

    def until_it_goes_on() -> float:
        """Paused first, which it is already at the first time."""
        change_queue(fleet, "default", "pause")
        fleet.wait_state(fleet.submit("diagnostics.echo", {"value": 1}, queue="low_priority"), "succeeded")
        before = begun(fleet, "default")
        change_queue(fleet, "default", "resume")
        return seconds_until(lambda: begun(fleet, "default") > before, "it to go on")

    once_within(4, until_it_goes_on, "it goes on, though without the hint a child looks after five seconds")
