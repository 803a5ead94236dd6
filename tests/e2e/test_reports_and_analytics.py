"""Reports and analytics, from the call to the page: one stack of real processes for all tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from taskyard.domain.api_keys import read_key
from taskyard.store import api_keys, ledger
from taskyard_kits.reports.parts import Tone
from tests.support.fleet import Fleet, wait_for
from tests.support.pages import Page, pages_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RESTRICTED = "ty_reports0_" + "r" * 43
QUEUES = {"report_type": "queues"}
HOUR = timedelta(hours=1)
THEN = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - 3 * HOUR


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("reports"), new_database(), new_redis_url())
    try:
        made.start_all(queues="default,low_priority", threads=2)
        yield made
    finally:
        made.stop()


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def result_of(fleet: Fleet, name: str, params: dict[str, Any], **more: Any) -> Any:
    task = fleet.submit(name, params, **more)
    fleet.wait_state(task, "succeeded", "failed", seconds=60)
    found = fleet.http.get(f"/tasks/{task}").json()
    assert found["state"] == "succeeded", found["error"]
    return found


def pages(fleet: Fleet, found: Any) -> list[Page]:
    answer = fleet.http.get(f"/tree-items/{found['result']['item_id']}/content")
    assert answer.headers["Content-Type"] == "application/pdf"
    return pages_of(answer.content)


def tell(fleet: Fleet, *events: tuple[datetime, str, int]) -> None:
    body = {"events": [{"model": model, "tokens": tokens, "at": text(at)} for at, model, tokens in events]}
    assert fleet.http.post("/usage-events", json=body).status_code == 202


def models(fleet: Fleet) -> list[tuple[str, int, int]]:
    query = {"from": text(THEN), "to": text(THEN + HOUR), "by": "total"}
    return [(m["model"], m["events"], m["tokens"]) for m in fleet.http.get("/analytics", params=query).json()["models"]]


def summed_at(fleet: Fleet) -> datetime | None:
    """When the hour of the events was summed up; None where its sums do not hold."""
    found = fleet.query(
        "SELECT aggregated_at FROM analytics_hour WHERE hour = date_trunc('hour', CAST(:at AS timestamptz), 'UTC')",
        at=THEN,
    )
    return found[0].aggregated_at if found else None


@contextmanager
def locked(fleet: Fleet, table: str) -> Iterator[None]:
    with ledger.transaction(fleet.engine) as conn:
        conn.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def test_usage_is_summed_up_and_what_comes_late_is_added(fleet: Fleet) -> None:
    tell(fleet, (THEN, "llama3", 10), (THEN, "mistral", 4))
    first = result_of(fleet, "analytics.aggregate", {})["result"]
    assert first["models"] == [
        {"model": "llama3", "events": 1, "tokens": 10}, {"model": "mistral", "events": 1, "tokens": 4}
    ]  # fmt: skip
    assert fleet.query("SELECT sum(tokens) AS n FROM usage_hour")[0].n == 14
    tell(fleet, (THEN, "llama3", 5))
    assert models(fleet) == [("llama3", 2, 15), ("mistral", 1, 4)], "also before the next run"
    before = summed_at(fleet)
    second = result_of(fleet, "analytics.aggregate", {})["result"]
    assert second["models"][0] == {"model": "llama3", "events": 2, "tokens": 15}
    after = summed_at(fleet)
    assert before is None, "the late event has opened the hour again"
    assert after is not None
    assert result_of(fleet, "analytics.aggregate", {})["result"]["models"] == second["models"]
    assert summed_at(fleet) == after, "a repeat leaves it as it is"
    assert models(fleet) == [("llama3", 2, 15), ("mistral", 1, 4)]
    assert fleet.query("SELECT sum(tokens) AS n FROM usage_hour")[0].n == 19


def test_an_aggregation_that_meets_its_soft_limit_tells_what_it_has_done(fleet: Fleet) -> None:
    tell(fleet, *[(THEN - n * HOUR, "llama3", 1) for n in range(3)])
    with ledger.transaction(fleet.engine) as conn:
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended('taskyard analytics', 0))")
        task = fleet.submit("analytics.aggregate", soft_timeout_seconds=1, hard_timeout_seconds=60)
        told = "SELECT FROM task_event WHERE task_id = :id AND kind = 'soft_time_limit'"
        # What runs in a transaction is let finish.
        wait_for(lambda: fleet.query(told, id=UUID(task)), 30, "the limit to be over")
    fleet.wait_state(task, "succeeded", seconds=40)
    found = fleet.http.get(f"/tasks/{task}").json()
    assert (found["partial"], found["attempt"]) == (True, 1)
    assert found["result"]["summed_hours"] == 1
    assert found["result"]["open_hours"] >= 2, "an hour more, where one has just ended"
    assert result_of(fleet, "analytics.aggregate", {})["result"]["open_hours"] == 0, "the next run does the rest"


def test_requests_are_counted_by_the_api_summed_up_by_the_task_and_told_by_route(fleet: Fleet) -> None:
    for _ in range(3):
        assert fleet.http.get("/no-such-route").status_code == 404
    api = fleet.processes[0]
    api.send_signal(signal.SIGTERM)
    assert api.wait(30) == 0, "it writes its counts when it ends, and once a minute"
    fleet.start_api()
    then = datetime.now(UTC) - 2 * 24 * HOUR
    with ledger.transaction(fleet.engine) as conn:
        conn.exec_driver_sql("UPDATE request_count SET minute = minute - interval '2 days'")
    totals = result_of(fleet, "analytics.aggregate", {"hours": 72})["result"]["requests"]
    query = {"from": text(then - HOUR), "to": text(then + HOUR), "by": "total"}
    told = fleet.http.get("/analytics", params=query).json()
    (unknown,) = (one for one in told["requests"] if (one["method"], one["route"]) == ("GET", "_other"))
    assert (unknown["requests"], unknown["client_errors"], unknown["server_errors"]) == (3, 3, 0)
    assert totals["total"] == sum(one["requests"] for one in told["requests"])
    assert totals["client_errors"] == sum(one["client_errors"] for one in told["requests"])
    assert told["aggregated_at"] is not None
    assert fleet.query("SELECT sum(requests) AS n FROM request_hour WHERE route = '_other'")[0].n == 3


@contextmanager
def paused(fleet: Fleet, queue: str) -> Iterator[None]:
    with ledger.transaction(fleet.engine) as conn:
        conn.exec_driver_sql(
            f"INSERT INTO queue (name, paused_at) VALUES ('{queue}', now())"
            " ON CONFLICT (name) DO UPDATE SET paused_at = now()"
        )
    try:
        yield
    finally:
        with ledger.transaction(fleet.engine) as conn:
            conn.exec_driver_sql("UPDATE queue SET paused_at = NULL")


@contextmanager
def disturbed(fleet: Fleet, hour: datetime) -> Iterator[None]:
    """PostgreSQL cannot write the sums of this hour."""
    with ledger.transaction(fleet.engine) as conn:
        conn.exec_driver_sql(
            "CREATE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disturbed'; END $$"
        )
        conn.exec_driver_sql(
            "CREATE TRIGGER disturb BEFORE INSERT ON usage_hour FOR EACH ROW"
            f" WHEN (NEW.hour = '{hour.isoformat()}') EXECUTE FUNCTION disturb()"
        )
    try:
        yield
    finally:
        with ledger.transaction(fleet.engine) as conn:
            conn.exec_driver_sql("DROP FUNCTION disturb CASCADE")


def test_an_hour_that_cannot_be_summed_up_is_told_in_the_readers_language(fleet: Fleet) -> None:
    hour = THEN.replace(minute=0) - 5 * HOUR
    tell(fleet, (hour, "llama3", 1), (hour + HOUR, "llama3", 1))
    with disturbed(fleet, hour):
        task = fleet.submit("analytics.aggregate", {}, max_attempts=1)
        fleet.wait_state(task, "failed", seconds=40)
    error = fleet.http.get(f"/tasks/{task}", headers={"Accept-Language": "hu"}).json()["error"]
    assert (error["code"], error["retryable"]) == ("hours_not_summed", True)
    assert error["message"].startswith(f"Nem összesíthető órák száma: 1, közülük az első: {hour:%Y-%m-%dT%H:%MZ};")
    assert fleet.http.post(f"/tasks/{task}/retry").status_code == 202
    fleet.wait_state(task, "succeeded", seconds=40)
    assert fleet.http.get(f"/tasks/{task}").json()["result"]["summed_hours"] >= 1


def test_a_report_shows_what_the_tasks_before_it_came_to(fleet: Fleet) -> None:
    tasks = fleet.submit_many(20, "diagnostics.echo", {"value": 1})
    failed = fleet.submit("diagnostics.fail", {"times": 9, "kind": "permanent"})
    fleet.wait_final([*tasks, failed], 60)
    found = result_of(
        fleet, "reports.generate", {"report_type": "tasks", "language": "hu", "timezone": "Europe/Budapest"}
    )
    assert (found["result"]["status"], found["partial"]) == ("complete", False)
    shown = pages(fleet, found)
    words = "\n".join(page.text for page in shown)
    for wanted in ("Feladattípusonként", "diagnostics.echo 20 20 0 0 0", "diagnostics.fail 1 0 1 0 0"):
        assert wanted in words
    assert "diagnostics.fail diagnostic_permanent 1" in words
    assert shown[0].pixels_of(Tone.GOOD.value) > shown[0].pixels_of(Tone.BAD.value) > 0


def test_a_report_of_queues_shows_them_as_they_are_now(fleet: Fleet) -> None:
    fleet.wait_final([fleet.submit("diagnostics.echo", {"value": 1}, queue="default")], 30)
    with paused(fleet, "low_priority"):
        waiting = fleet.submit("diagnostics.echo", {"value": 1}, queue="low_priority")
        report = {"report_type": "queues", "language": "de"}
        found = result_of(fleet, "reports.generate", report, queue="default")
        assert fleet.task(waiting).state == "queued"
    assert (found["result"]["status"], found["partial"]) == ("complete", False)
    words = "\n".join(page.text for page in pages(fleet, found))
    assert "Warteschlangen jetzt" in words
    assert "low_priority angehalten 1 0 0" in words, words
    assert "default offen 0 0 1" in words, "the report itself runs"
    fleet.wait_final([waiting], 30)


def test_a_report_that_meets_its_soft_limit_holds_the_part_that_is_done(fleet: Fleet) -> None:
    tell(fleet, (THEN, "llama3", 10))
    limits = {"soft_timeout_seconds": 8, "hard_timeout_seconds": 60}
    with locked(fleet, "usage_hour"):
        task = fleet.submit("reports.generate", {"report_type": "analytics", "language": "de"}, **limits)
        wait_for(lambda: fleet.task(task).state == "succeeded", 40, "the partial report")
    found = fleet.http.get(f"/tasks/{task}").json()
    assert (found["partial"], found["result"]["status"], found["attempt"]) == (True, "partial", 1)
    page, *_ = pages(fleet, found)
    assert "Dieser Bericht ist unvollständig" in page.text
    assert "Token, Modelle" in page.text, "which parts are missing"
    assert "Anfragen\n" in page.text, "what was read before"
    assert page.pixels_of("#FFF3CD") > 1_000, "the notice has a ground of its own"


def test_a_wrong_period_is_refused_in_the_readers_language(fleet: Fleet) -> None:
    period = {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    task = fleet.submit("reports.generate", {"report_type": "tasks", **period})
    fleet.wait_state(task, "failed")
    german = {"Accept-Language": "de"}
    error = fleet.http.get(f"/tasks/{task}", headers=german).json()["error"]
    assert (error["code"], error["retryable"], error["attempt"]) == ("report_period_empty", False, 1)
    assert error["message"].startswith("Der Zeitraum des Berichts endet, bevor er beginnt.")
    answer = fleet.http.get("/analytics", params=period, headers=german)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"].startswith("Muss vor `to` liegen")


def test_a_report_of_a_restricted_key_tells_nothing_of_other_queues(fleet: Fleet) -> None:
    fleet.wait_final([fleet.submit("diagnostics.echo", {"value": 1}, queue="low_priority")], 30)
    key = read_key(RESTRICTED)
    with ledger.transaction(fleet.engine) as conn:
        api_keys.create(
            conn, name="restricted", prefix=key.prefix, digest=key.digest, scopes=["read", "submit"], queues=["default"]
        )
    with httpx.Client(
        base_url=fleet.http.base_url, headers={"Authorization": f"Bearer {RESTRICTED}"}, timeout=30
    ) as mine:
        task = mine.post("/tasks", json={"name": "reports.generate", "params": QUEUES}).json()["id"]
        fleet.wait_state(task, "succeeded")
        item = mine.get(f"/tasks/{task}").json()["result"]["item_id"]
        words = "\n".join(page.text for page in pages_of(mine.get(f"/tree-items/{item}/content").content))
    assert "Only the queues that the API key may see: default." in words
    assert "low_priority" not in words
    everything = pages(fleet, result_of(fleet, "reports.generate", QUEUES))
    assert "low_priority" in "\n".join(page.text for page in everything)
