"""analytics.aggregate: rollups that are the same however often, late and side by side they are made."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.store import analytics, ledger, rollups
from taskyard.store.analytics import UNSUMMED_KEPT_DAYS, Period, RequestCount, UsageEvent
from tests.kits.conftest import Run
from tests.support.databases import WAITING_FOR_A_LOCK
from tests.support.fleet import wait_for

HOUR = timedelta(hours=1)
THEN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
COLUMNS = {"analytics_hour": "hour", "request_hour": "*", "usage_hour": "*"}


def told(engine: Engine, *events: tuple[datetime, str, int], by: str = "ci") -> None:
    rows = [UsageEvent(new_id(), at, model, tokens) for at, model, tokens in events]
    with ledger.transaction(engine) as conn:
        analytics.add_events(conn, rows, by=by)


def counted(engine: Engine, at: datetime, requests: int, *, status: int = 200) -> None:
    count = RequestCount(int(at.timestamp() // 60), "GET", "/r", status, requests, requests * 0.5)
    with ledger.transaction(engine) as conn:
        analytics.write_counts(conn, new_id(), [count])


def rows(engine: Engine, table: str) -> list[tuple[Any, ...]]:
    with ledger.connection(engine) as conn:
        found = conn.exec_driver_sql(f"SELECT {COLUMNS[table]} FROM {table} t ORDER BY t")
        return [tuple(row) for row in found]


def sums(engine: Engine) -> list[list[tuple[Any, ...]]]:
    return [rows(engine, table) for table in COLUMNS]


def test_requests_and_usage_are_summed_up_by_the_hour(engine: Engine, run: Run) -> None:
    told(engine, (THEN, "llama3", 10), (THEN + timedelta(minutes=59), "llama3", 5), (THEN, "mistral", 1))
    told(engine, (THEN + HOUR, "llama3", 7), by="other")
    counted(engine, THEN, 6)
    counted(engine, THEN + timedelta(minutes=30), 3)
    counted(engine, THEN, 2, status=503)
    result = run("analytics.aggregate", {}).result
    assert sums(engine) == [
        [(THEN,), (THEN + HOUR,)],
        [(THEN, "GET", "/r", 200, 9, 4.5), (THEN, "GET", "/r", 503, 2, 1.0)],
        [(THEN, "ci", "llama3", 2, 15), (THEN, "ci", "mistral", 1, 1), (THEN + HOUR, "other", "llama3", 1, 7)],
    ]
    assert result["requests"] == {"total": 11, "client_errors": 0, "server_errors": 2, "mean_seconds": 0.5}
    assert result["models"] == [
        {"model": "llama3", "events": 3, "tokens": 22}, {"model": "mistral", "events": 1, "tokens": 1}
    ]  # fmt: skip
    assert (result["summed_hours"], result["open_hours"]) == (2, 0)


def test_its_span_tells_requests_and_models(engine: Engine, run: Run) -> None:
    told(engine, (THEN, "llama3", 10), (THEN, "mistral", 1))
    counted(engine, THEN, 6)
    attributes = run("analytics.aggregate", {}).attributes
    assert (attributes["analytics.requests_processed"], attributes["analytics.models_used"]) == (6, 2)


def test_a_repeated_run_gives_the_same_rollup(engine: Engine, run: Run) -> None:
    told(engine, (THEN, "llama3", 10))
    counted(engine, THEN, 6)
    first = run("analytics.aggregate", {}).result
    before = sums(engine)
    second = run("analytics.aggregate", {}).result
    assert sums(engine) == before
    assert (first["summed_hours"], second["summed_hours"]) == (1, 0)
    assert [(r["requests"], r["models"]) for r in (first, second)] == [(first["requests"], first["models"])] * 2


LATE: dict[str, Callable[[Engine], None]] = {
    "an event": lambda engine: told(engine, (THEN, "late", 3)),
    "a count": lambda engine: counted(engine, THEN, 3, status=201),
}


@pytest.mark.parametrize("late", LATE)
def test_what_comes_hours_late_is_in_the_sums_after_the_next_run(engine: Engine, run: Run, late: str) -> None:
    told(engine, (THEN, "llama3", 10), (THEN + HOUR, "llama3", 1))
    counted(engine, THEN, 6)
    run("analytics.aggregate", {})
    untouched = [row for row in rows(engine, "usage_hour") if row[0] != THEN]
    LATE[late](engine)
    assert run("analytics.aggregate", {}).result["summed_hours"] == 1, "the hour that it touched"
    assert rows(engine, "analytics_hour") == [(THEN,), (THEN + HOUR,)]
    after = [*rows(engine, "request_hour"), *rows(engine, "usage_hour")]
    assert (THEN, "ci", "late", 1, 3) in after or (THEN, "GET", "/r", 201, 3, 1.5) in after
    assert (THEN, "ci", "llama3", 1, 10) in after
    assert (THEN, "GET", "/r", 200, 6, 3.0) in after
    assert [row for row in rows(engine, "usage_hour") if row[0] != THEN] == untouched


def test_runs_side_by_side_do_not_double(engine: Engine, run: Run) -> None:
    for n in range(20):
        told(engine, (THEN - n * HOUR, "llama3", n))
        counted(engine, THEN - n * HOUR, 1)
    with ThreadPoolExecutor(4) as pool:
        results = [f.result().result for f in [pool.submit(run, "analytics.aggregate", {}) for _ in range(4)]]
    assert sum(result["summed_hours"] for result in results) == 20
    assert [row[4] for row in rows(engine, "request_hour")] == [1] * 20
    assert [row[3:] for row in rows(engine, "usage_hour")] == [(1, n) for n in reversed(range(20))]


def test_an_event_that_comes_while_its_hour_is_summed_up_opens_it_again(
    engine: Engine, task_engine: Engine, run: Run
) -> None:
    told(engine, (THEN, "llama3", 10))
    with ThreadPoolExecutor(1) as pool:
        with ledger.transaction(task_engine) as conn:
            assert rollups.sum_up(conn, THEN)
            late = pool.submit(told, engine, (THEN, "llama3", 5))
            blocked = sa.text(WAITING_FOR_A_LOCK)
            with ledger.connection(engine) as watching:
                wait_for(lambda: watching.execute(blocked).scalar_one() > 0, 10, "the event that waits")
        late.result()
    assert rows(engine, "analytics_hour") == []
    run("analytics.aggregate", {})
    assert rows(engine, "usage_hour") == [(THEN, "ci", "llama3", 2, 15)]


def test_the_hour_that_is_under_way_is_left_to_a_later_run(engine: Engine, run: Run) -> None:
    told(engine, (datetime.now(UTC), "llama3", 10))
    with ledger.transaction(engine) as conn:  # where the clock has struck meanwhile, both are over and summed up
        under_way = conn.exec_driver_sql("SELECT at >= date_trunc('hour', now(), 'UTC') FROM usage_event").scalar_one()
    assert run("analytics.aggregate", {}).result["summed_hours"] == (0 if under_way else 1)


def test_an_hour_whose_rows_retention_may_delete_is_left_as_it_is(engine: Engine, run: Run) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    oldest = now - timedelta(days=UNSUMMED_KEPT_DAYS)
    told(engine, (oldest, "old", 1), (oldest + HOUR, "older", 1), (oldest + 2 * HOUR, "kept", 1))
    run("analytics.aggregate", {})
    assert {row[2] for row in rows(engine, "usage_hour")} in ({"older", "kept"}, {"kept"})


@contextmanager
def fails_for(engine: Engine, hour: datetime, sqlstate: str) -> Iterator[None]:
    """PostgreSQL cannot write the sums of this hour."""
    with ledger.transaction(engine) as conn:
        conn.exec_driver_sql(
            f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE 'disturbed' USING ERRCODE = '{sqlstate}'; END $$"
        )
        conn.exec_driver_sql(
            "CREATE TRIGGER fail BEFORE INSERT ON usage_hour FOR EACH ROW"
            f" WHEN (NEW.hour = '{hour.isoformat()}') EXECUTE FUNCTION fail()"
        )
    try:
        yield
    finally:
        with ledger.transaction(engine) as conn:
            conn.exec_driver_sql("DROP FUNCTION fail CASCADE")


@pytest.mark.parametrize("sqlstate", ["57014", "55P03", "22003"])
def test_an_hour_that_cannot_be_summed_up_does_not_keep_the_others_open(
    engine: Engine, run: Run, sqlstate: str
) -> None:
    told(engine, *[(THEN - n * HOUR, "llama3", 1) for n in range(3)])
    with fails_for(engine, THEN - HOUR, sqlstate):
        first = run("analytics.aggregate", {})
    assert (first.fault.code, first.fault.retryable) == ("hours_not_summed", True)
    assert first.fault.values == {"hours": 1, "first": f"{THEN - HOUR:%Y-%m-%dT%H:%MZ}"}
    assert [line for line in first.logs if "disturbed" in line] == [
        f"The hour {THEN - HOUR:%Y-%m-%dT%H:%MZ} was not summed up: disturbed"
    ]
    assert rows(engine, "analytics_hour") == [(THEN - 2 * HOUR,), (THEN,)]
    assert run("analytics.aggregate", {}).result["summed_hours"] == 1, "another attempt finds what is left"


def test_sums_beyond_a_bigint_stay_storable(engine: Engine, run: Run) -> None:
    told(engine, (THEN, "llama3", 2**62), (THEN, "llama3", 2**62), (THEN, "llama3", 2**62))
    result = run("analytics.aggregate", {}).result
    assert result["models"] == [{"model": "llama3", "events": 3, "tokens": 2**63 - 1}]


def test_a_restricted_key_is_told_its_own_usage_and_no_requests(engine: Engine, run: Run) -> None:
    told(engine, (THEN, "llama3", 10))
    told(engine, (THEN, "llama3", 1), by="mine")
    counted(engine, THEN, 6)
    result = run("analytics.aggregate", {}, submitted_by="mine", allowed_queues=["low_priority"]).result
    assert (result["requests"], result["models"]) == (None, [{"model": "llama3", "events": 1, "tokens": 1}])
    assert len(rows(engine, "usage_hour")) == 2, "the sums are of all"


def test_without_any_rows_there_is_a_result(run: Run) -> None:
    result = run("analytics.aggregate", {"hours": 1}).result
    assert result["requests"] == {"total": 0, "client_errors": 0, "server_errors": 0, "mean_seconds": None}
    assert (result["models"], result["summed_hours"]) == ([], 0)


def test_the_sums_say_what_the_rows_said(engine: Engine, run: Run) -> None:
    """GET /analytics reads the sums where they hold, and the rows elsewhere."""
    told(engine, (THEN, "llama3", 10), (THEN, "mistral", 3), (THEN + HOUR, "llama3", 1))
    counted(engine, THEN, 6)
    counted(engine, THEN + HOUR, 2, status=404)
    period = Period(THEN, THEN + 2 * HOUR, "hour")

    def read() -> list[Any]:
        with ledger.connection(engine) as conn:
            return [analytics.requests(conn, period), analytics.models(conn, period)]

    before = read()
    run("analytics.aggregate", {})
    assert read() == before


def test_a_large_hour_is_summed_up_without_its_rows_in_python(engine: Engine, run: Run) -> None:
    """200,000 events, of which the process would feel a copy: they take 60 MB as objects."""
    fill = """INSERT INTO usage_event (id, at, model, tokens, submitted_by)
    SELECT gen_random_uuid(), CAST(:at AS timestamptz) + n % 3600 * interval '1 second', 'm' || n % 50, 1, 'ci'
    FROM generate_series(1, 200000) n"""
    with ledger.transaction(engine) as conn:
        conn.execute(sa.text(fill), {"at": THEN})
    tracemalloc.start()
    try:
        result = run("analytics.aggregate", {}).result
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(model["events"] for model in result["models"]) == 200_000
    assert peak < 8 * 1024**2
