"""reports.generate: the numbers that a key may see, on pages that people can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed
from taskyard.running.trial import TaskRun
from taskyard.storage.local import LocalStorage
from taskyard.store import analytics, ledger, tree_items
from taskyard.store.analytics import RequestCount, UsageEvent
from taskyard.store.tree_items import TreeItem
from taskyard_kits.reports import document
from taskyard_kits.reports.declarations import MAX_ROWS
from taskyard_kits.reports.parts import Tone
from taskyard_kits.reports.texts import TEXTS
from tests.kits.conftest import Run
from tests.kits.reports.ledger_rows import add_tasks
from tests.support.pages import Page, pages_of

NOON = (datetime.now(UTC) - timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0)
NOTHING = {"en": "Nothing was found", "de": "nichts gefunden", "fr": "Rien n'a été trouvé", "hu": "nem található adat"}
TYPES = ("tasks", "queues", "analytics")


def item_of(engine: Engine, run: TaskRun) -> TreeItem:
    item_id = UUID(run.result["item_id"])
    with ledger.connection(engine) as conn:
        return tree_items.get(conn, [item_id])[item_id]


class Reader:
    def __init__(self, engine: Engine, storage: LocalStorage, run: Run) -> None:
        self.engine, self._storage, self._run = engine, storage, run

    def pages(self, report_type: str, more: dict[str, Any] | None = None, **options: Any) -> list[Page]:
        run = self._run("reports.generate", {"report_type": report_type, **(more or {})}, **options)
        with self._storage.open(item_of(self.engine, run).storage_key) as file:
            return pages_of(file.read())

    def text(self, report_type: str, more: dict[str, Any] | None = None, **options: Any) -> str:
        return "\n".join(page.text for page in self.pages(report_type, more, **options))


@pytest.fixture
def reader(engine: Engine, storage: LocalStorage, run: Run) -> Reader:
    return Reader(engine, storage, run)


def used(engine: Engine, *models: tuple[str, int], at: datetime = NOON, by: str = "ci") -> None:
    with ledger.transaction(engine) as conn:
        analytics.add_events(conn, [UsageEvent(new_id(), at, name, tokens) for name, tokens in models], by=by)


def asked(engine: Engine, *statuses: int, route: str = "/api/v1/tasks", at: datetime = NOON) -> None:
    counts = [RequestCount(int(at.timestamp() // 60), "GET", route, status, 10, 2.5) for status in statuses]
    with ledger.transaction(engine) as conn:
        analytics.write_counts(conn, new_id(), counts)


# What the pages say


def test_tasks_are_counted_by_type_and_outcome(reader: Reader) -> None:
    add_tasks(reader.engine, NOON, *["succeeded"] * 3, wait=1.5, run=90)
    add_tasks(reader.engine, NOON, "failed", "cancelled", "queued", name="geo.convert_to_raster", code="raster_damaged")
    pages = reader.pages("tasks")
    text = "\n".join(page.text for page in pages)
    assert "email.send 3 3 0 0 0 1.50 s 1.50 s 90.0 s 90.0 s" in text
    assert "geo.convert_to_raster 3 0 1 1 1" in text
    assert "geo.convert_to_raster raster_damaged 1" in text
    assert "6 3 1 1 1" in text, "all of them"
    assert [page.text.rstrip().endswith(f"Page {n} of 2") for n, page in enumerate(pages, 1)] == [True, True]


def test_charts_show_outcomes_in_their_colours(reader: Reader) -> None:
    add_tasks(reader.engine, NOON, *["succeeded"] * 30, *["failed"] * 10)
    page = reader.pages("tasks")[0]
    good, bad, pending = (page.pixels_of(tone.value) for tone in (Tone.GOOD, Tone.BAD, Tone.PENDING))
    assert bad > 500
    assert 2 < good / bad < 4, "three times as many"
    assert pending < 200, "in the two legends only"


def test_queues_are_counted_and_shown_as_they_are_now(reader: Reader) -> None:
    add_tasks(reader.engine, NOON, "succeeded", "succeeded", "failed")
    add_tasks(reader.engine, NOON - timedelta(days=30), *["queued"] * 3, "scheduled", queue="low_priority")
    with reader.engine.begin() as conn:
        conn.exec_driver_sql(
            "INSERT INTO queue (name, paused_at) VALUES ('high_priority', NULL), ('low_priority', now())"
        )
    text = reader.text("queues")
    assert "default 3 2 1 0 0" in text
    assert re.search("low_priority paused 3 1 0 3[23] d", text.replace("\N{NO-BREAK SPACE}", " ")), (
        "also where they were submitted before the period"
    )
    assert "high_priority open 0 0 0 \N{EN DASH}" in text


def test_analytics_tell_requests_and_models(reader: Reader) -> None:
    asked(reader.engine, 200, 404)
    asked(reader.engine, 503, route="/api/v1/queues")
    used(reader.engine, ("llama3", 1_500), ("mistral", 20), ("llama3", 500))
    text = reader.text("analytics")
    assert "30 10 10 10" in text
    assert "GET /api/v1/tasks 20 10 10 0 0.250 s" in text
    assert "llama3 2 2,000" in text
    assert "mistral 1 20" in text


@pytest.mark.parametrize("language", NOTHING)
@pytest.mark.parametrize("report_type", TYPES)
def test_without_data_each_part_says_so(reader: Reader, report_type: str, language: str) -> None:
    pages = reader.pages(report_type, {"language": language})
    parts = {"tasks": 3, "queues": 3, "analytics": 4}
    assert pages[0].text.count(NOTHING[language]) == parts[report_type]
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Tasks", "By task type", "1,200", "Page 1 of 1", "0.250 s"]),
        ("de-AT", ["Aufgaben", "Nach Aufgabentyp", "Überblick", "1.200", "Seite 1 von 1", "0,250 s"]),
        ("fr", ["Tâches", "Aperçu", "Échecs", "1 200", "Page 1 sur 1"]),
        ("hu", ["Feladatok", "Áttekintés", "húszból tizenkilenc", "1 200", "1. oldal, összesen 1"]),
        ("fi", ["Tasks", "1,200"]),
    ],
)
def test_a_report_speaks_the_language_that_is_asked_for(reader: Reader, language: str, words: list[str]) -> None:
    add_tasks(reader.engine, NOON, *["succeeded"] * 1_200, run=0.25)
    text = reader.text("tasks", {"language": language}).replace("\N{NO-BREAK SPACE}", " ")
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("language", ["en", "de", "fr", "hu"])
def test_no_heading_of_a_column_is_broken_within_a_word(reader: Reader, language: str) -> None:
    add_tasks(reader.engine, NOON, "succeeded", "failed")
    text = reader.text("tasks", {"language": language})
    for heading in ("succeeded", "failed", "cancelled", "unfinished", "wait", "late_run"):
        for word in TEXTS[heading][language].split():
            assert word in text


def test_times_are_those_of_the_time_zone(reader: Reader) -> None:
    day = NOON.replace(hour=23, minute=30)
    add_tasks(reader.engine, day, "succeeded")
    ends = {"from": (NOON - timedelta(days=2)).isoformat(), "to": (NOON + timedelta(days=2)).isoformat()}
    text = reader.text("tasks", {**ends, "timezone": "Asia/Tokyo", "language": "de"})
    local = (NOON - timedelta(days=2) + timedelta(hours=9)).strftime("%d.%m.%Y %H:%M")
    assert f"{local} bis" in text
    assert "(Asia/Tokyo)" in text


# Names, and many of them


def test_a_table_runs_over_pages_and_says_what_it_leaves_out(reader: Reader) -> None:
    for n in range(MAX_ROWS + 5):
        add_tasks(reader.engine, NOON, "succeeded", name=f"type.{n:04}")
    pages = reader.pages("tasks")
    text = "\n".join(page.text for page in pages)
    assert len(pages) > 20
    assert all("Task type" in page.text for page in pages[1:-1]), "the heading of the table is on each page"
    assert all(f"type.{n:04} 1 1 0 0 0" in text for n in range(MAX_ROWS))
    assert "5 more rows are not shown." in text
    assert f"Page {len(pages)} of {len(pages)}" in pages[-1].text


def test_long_names_stay_within_the_page(reader: Reader) -> None:
    add_tasks(reader.engine, NOON, "succeeded", "failed", name="x" * 128, queue="q" * 63, code="c" * 300)
    used(reader.engine, ("m" * 200, 5))
    for report_type, letter, most in (("tasks", "x", 128), ("analytics", "m", 200)):
        pages = reader.pages(report_type)
        assert "".join(page.text for page in pages).count(letter) >= most
        for page in pages:
            right = page.image.crop((page.image.width - 40, 0, page.image.width, page.image.height))
            assert right.getcolors() == [(right.width * right.height, (255, 255, 255))], "the margin is empty"


@pytest.mark.parametrize(
    "name", ["<b>bold", "&lt;", "a\x07b\nc", "😀", "模型", "\u202ertl", "ő ű ß Ж Ω", "</para>", "{0}", "%s"]
)
def test_a_model_of_any_name_can_be_reported(reader: Reader, name: str) -> None:
    used(reader.engine, (name, 5))
    text = reader.text("analytics")
    assert " 1 5" in text
    if (name.isprintable() and name.isascii()) or name.startswith("ő"):
        assert f"{name} 1 5" in text


# Who sees what


def test_a_restricted_key_sees_the_numbers_of_its_queues_only(reader: Reader) -> None:
    add_tasks(reader.engine, NOON, "succeeded", "succeeded")
    add_tasks(reader.engine, NOON, *["failed"] * 7, name="secret.type", queue="low_priority", code="secret_code")
    mine = {"submitted_by": "mine", "allowed_queues": ["default"]}
    tasks, queues = (reader.text(kind, None, **mine) for kind in ("tasks", "queues"))
    assert "2 2 0 0 0" in tasks
    assert "default 2 2 0 0 0" in queues
    for text in (tasks, queues):
        assert "secret" not in text
        assert "low_priority" not in text
        assert "Only the queues that the API key may see: default." in text
    assert "secret_code" in reader.text("tasks")


def test_a_restricted_key_sees_its_own_usage_and_no_requests(reader: Reader) -> None:
    used(reader.engine, ("mine", 5), by="mine")
    used(reader.engine, ("others", 7))
    asked(reader.engine, 200)
    text = reader.text("analytics", None, submitted_by="mine", allowed_queues=["default"])
    assert "mine 1 5" in text
    assert "others" not in text
    assert text.count("Requests are not shown") == 2


# Storing


def test_the_pdf_is_an_item_of_the_key_that_submitted(engine: Engine, run: Run) -> None:
    made = run("reports.generate", {"report_type": "queues"}, submitted_by="mine")
    item = item_of(engine, made)
    assert (item.submitted_by, item.content_type, item.object_type) == ("mine", "application/pdf", "report")
    assert (made.result["status"], made.result["size"]) == ("complete", item.size)
    assert made.result["name"].startswith("queues-")


def test_another_attempt_stores_no_second_pdf(engine: Engine, run: Run) -> None:
    task_id = new_id()
    first, second = (
        run("reports.generate", {"report_type": "tasks"}, task_id=task_id, attempt=n).result for n in (1, 2)
    )
    assert first == second
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM tree_item").scalar_one() == 1


def test_another_attempt_tells_that_the_first_one_was_partial(engine: Engine, run: Run) -> None:
    task_id = new_id()
    run("reports.generate", {"report_type": "tasks"}, task_id=task_id)
    with engine.begin() as conn:
        conn.exec_driver_sql("UPDATE tree_item SET object_type = 'partial_report'")
    assert run("reports.generate", {"report_type": "tasks"}, task_id=task_id).result["status"] == "partial"


def test_reports_are_drawn_side_by_side(reader: Reader) -> None:
    for n in range(8):
        add_tasks(reader.engine, NOON, "succeeded", name=f"type.{n}", queue=f"queue{n}")
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(reader.text, "tasks", None, allowed_queues=["default", f"queue{n}"]) for n in range(8)]
        for n, text in enumerate(one.result() for one in made):
            assert f"type.{n} 1 1 0 0 0" in text


# Too little time


@contextmanager
def locked(engine: Engine, table: str) -> Iterator[None]:
    """Who reads the table meets the statement time-out."""
    with ledger.transaction(engine) as conn:
        conn.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.fixture
def hasty(task_url: str) -> Iterator[Engine]:
    made = ledger.make_engine(task_url, statement_timeout=timedelta(seconds=3))
    yield made
    made.dispose()


def test_a_part_that_takes_too_long_is_left_out_and_the_others_are_there(reader: Reader, hasty: Engine) -> None:
    asked(reader.engine, 200)
    with locked(reader.engine, "usage_hour"):
        (page,) = reader.pages("analytics", engine=hasty)
    assert "This report is partial: the time was too short to read these parts: Tokens, Models." in page.text
    assert "GET /api/v1/tasks 10 10 0 0" in page.text


def test_a_report_whose_parts_all_take_too_long_fails_with_a_code_of_its_own(
    engine: Engine, hasty: Engine, run: Run
) -> None:
    with locked(engine, "task"):
        outcome = run("reports.generate", {"report_type": "tasks"}, engine=hasty).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.retryable) == ("report_too_slow", False)
    assert outcome.fault.message.endswith("Choose a shorter period, or try again when the database is less busy.")


def test_a_report_is_partial_where_its_task_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit is over while the PDF is drawn: the platform marks the task."""
    draw, interrupts = document.pdf_of, [SoftTimeLimitExceeded()]

    def drawn(*arguments: Any) -> bytes:
        if interrupts:
            raise interrupts.pop()
        return draw(*arguments)

    monkeypatch.setattr(document, "pdf_of", drawn)
    assert run("reports.generate", {"report_type": "tasks"}).result["status"] == "partial"


def test_the_name_of_the_file_has_the_first_and_the_last_day_in_the_time_zone(run: Run) -> None:
    november = {"from": "2026-11-01T00:00:00+01:00", "to": "2026-12-01T00:00:00+01:00"}
    made = run("reports.generate", {"report_type": "tasks", "timezone": "Europe/Budapest", **november})
    assert made.result["name"] == "tasks-2026-11-01-2026-11-30.pdf"


# Refusals


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "report_period_empty", "ends before"),
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}, "report_period_empty", "ends before"),
        ({"from": "2024-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "report_period_too_long", "366 days at most"),
        ({"from": "1969-01-01T00:00:00Z"}, "report_period_unreadable", "1970 to 8999"),
        ({"timezone": "Europe/Vienna2"}, "unknown_timezone", "Europe/Vienna2"),
        ({"timezone": "Europe"}, "unknown_timezone", "Europe"),
        ({"timezone": "localtime"}, "unknown_timezone", "localtime"),
        ({"timezone": "posixrules"}, "unknown_timezone", "posixrules"),
        ({"timezone": "Factory"}, "unknown_timezone", "Factory"),
    ],
)
def test_a_wrong_period_is_a_clear_error_and_not_retried(
    run: Run, params: dict[str, Any], code: str, words: str
) -> None:
    outcome = run("reports.generate", {"report_type": "tasks", **params}).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.retryable) == (code, False)
    assert words in outcome.fault.message
