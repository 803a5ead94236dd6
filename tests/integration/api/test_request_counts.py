"""Requests are counted in memory and written by the minute: each once, whatever happens to the writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from structlog.testing import capture_logs

from taskyard.domain.errors import LedgerUnavailable
from taskyard.store import ledger
from taskyard_api.request_counts import _MINUTES_HELD, RequestCounts
from tests.integration.api.conftest import Api

MINUTE = 60.0
BEGIN = 1_800_000_000.0


class Pool:
    """As LedgerPool runs a verb, with a server that may be away, or whose answers get lost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_away = False
        self.loses_answers = False
        self.writes = 0

    async def run(self, verb: Callable[[Connection], Any]) -> Any:
        if self.is_away:
            raise LedgerUnavailable("away")
        self.writes += 1
        found = await asyncio.to_thread(ledger.run, self._engine, verb)
        if self.loses_answers:
            raise LedgerUnavailable("the answer to the commit got lost")
        return found


class Counting:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.pool = Pool(engine)
        self.at = BEGIN
        self.counts = self.process()

    def process(self) -> RequestCounts:
        pool: Any = self.pool
        return RequestCounts(pool, now=lambda: self.at)

    def count(self, requests: int, *, status: int = 200, by: RequestCounts | None = None) -> None:
        for _ in range(requests):
            (by or self.counts).count("GET", "/r", status, 0.5)

    def write(self, by: RequestCounts | None = None) -> None:
        asyncio.run((by or self.counts).write())

    def rows(self) -> list[tuple[int, int, int, float]]:
        """Minutes since the begin, statuses, requests, seconds."""
        with self._engine.connect() as conn:
            found = conn.execute(
                sa.text("SELECT CAST(extract(epoch FROM minute) AS bigint) - :begin, status, requests, seconds"
                        " FROM request_count ORDER BY 1, 2, source"),
                {"begin": int(BEGIN)},
            )  # fmt: skip
            return [(row[0] // 60, row[1], row[2], row[3]) for row in found]


@pytest.fixture
def counting(engine: Engine) -> Counting:
    return Counting(engine)


def test_many_requests_are_a_row_for_each_label_and_minute(counting: Counting) -> None:
    counting.count(1_000)
    counting.count(3, status=404)
    counting.write()
    assert counting.rows() == [(0, 200, 1_000, 500.0), (0, 404, 3, 1.5)]
    assert counting.pool.writes == 1


def test_a_minute_is_complete_however_often_it_was_written(counting: Counting) -> None:
    for _ in range(3):
        counting.count(10)
        counting.write()
    counting.at += MINUTE
    counting.count(1)
    counting.write()
    counting.write()
    assert counting.rows() == [(0, 200, 30, 15.0), (1, 200, 1, 0.5)]


def test_nothing_is_written_where_nothing_was_asked(counting: Counting) -> None:
    counting.count(1)
    counting.write()
    counting.at += MINUTE
    counting.write()
    counting.write()
    assert counting.pool.writes == 2, "the second one: its minute had not been over"


def test_a_lost_answer_counts_nothing_twice(counting: Counting) -> None:
    counting.count(10)
    counting.pool.loses_answers = True
    counting.write()
    counting.at += MINUTE
    counting.pool.loses_answers = False
    counting.write()
    assert counting.rows() == [(0, 200, 10, 5.0)]


def test_processes_count_apart(counting: Counting) -> None:
    other = counting.process()
    counting.count(10)
    counting.count(5, by=other)
    counting.write()
    counting.write(other)
    assert [row[2] for row in counting.rows()] == [10, 5]


def test_an_outage_of_an_hour_loses_nothing_and_a_longer_one_costs_no_more_memory(
    counting: Counting,
) -> None:
    counting.pool.is_away = True
    with capture_logs() as logs:
        for _ in range(_MINUTES_HELD + 5):
            counting.count(2)
            counting.write()
            counting.at += MINUTE
    counting.pool.is_away = False
    counting.write()
    rows = counting.rows()
    assert [row[0] for row in rows] == list(range(5, _MINUTES_HELD + 5)), "the newest ones"
    assert {row[2] for row in rows} == {2}
    assert "request_counts_dropped" in {line["event"] for line in logs}


def test_labels_are_the_applications_own(api: Api) -> None:
    """Whatever callers ask for: neither paths nor methods of their own get rows of their own."""
    for n in range(20):
        api.http.get(f"/api/v1/tasks/{n}")
        api.http.get(f"/nothing/{n}")
        api.http.request(f"X{chr(65 + n)}", "/api/v1/tasks")
    with httpx.Client(base_url=api.url) as anonymous:
        anonymous.get("/api/v1/tasks")
    counts = api.service.counts
    labels = {label for minute in counts._minutes.values() for label in minute}
    assert ("GET", "/api/v1/tasks/{task_id}", 404) in labels
    assert ("GET", "_other", 404) in labels
    assert ("GET", "/api/v1/tasks", 401) in labels
    assert {label[0] for label in labels} <= {"GET", "POST", "_other"}
    assert {label[1] for label in labels} <= {"/api/v1/tasks/{task_id}", "/api/v1/tasks", "/health/live", "_other"}
