"""Parts of pages that are kept: never out of date, never another reader's, and nothing in them is taken for HTML."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from jinja2 import meta
from markupsafe import Markup, escape

from taskyard_client import Crash
from taskyard_client.models import Failure, Task, WorkflowStep
from taskyard_console import columns, kept, steps
from taskyard_console.attempts import Line
from taskyard_console.formats import UTC_ZONE
from taskyard_console.navigation import ENTRIES
from taskyard_console.rendering import Rendering
from taskyard_console.words import read_catalogues

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "0193a6f0-0000-7000-8000-000000000001"
HOSTILE = "<script>alert('\"&')</script>"
CATALOGUES = read_catalogues()
ALL = tuple(columns.COLUMNS)
HOSTILE_IN_CRASH = ("name", "queue", "outcome", "message", "worker", "child")


def parts(language: str = "en", path: str = "") -> Any:
    return environment(language, path).globals["kept"]


def environment(language: str = "en", path: str = "") -> Any:
    catalogues = {language: CATALOGUES[language]}
    return Rendering(catalogues, {}, path=path, read_only=False)._environments[language]


def task(**given: Any) -> Task:
    fields = {"id": ID, "name": "mail.send", "queue": "mail", "state": "queued", "created_at": AT, "max_attempts": 3}
    return Task.model_validate({**fields, **given})


def row(of: Any, one: Task, now: datetime = AT, chosen: tuple[str, ...] = ALL, zone: ZoneInfo = UTC_ZONE) -> str:
    shown = columns.shown(chosen, CATALOGUES["en"])
    return str(of.task_rows([kept.row_of(one, chosen)], shown, zone, True, now))


def test_they_see_nothing_but_their_arguments_and_what_is_the_same_for_all_readers() -> None:
    one = environment()
    source, _, _ = one.loader.get_source(one, "kept.html")
    assert meta.find_undeclared_variables(one.parse(source)) <= one.globals.keys() - {"visit", "ui"}


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "cancelled"},
        {"name": "mail.sent"},
        {"queue": "post"},
        {"attempt": 2},
        {"max_attempts": 4},
        {"created_at": AT + timedelta(seconds=1)},
        {"run_at": AT},
        {"started_at": AT},
        {"finished_at": AT},
        {"worker": "mailer-1:2"},
        {"submitted_by": "ann"},
        {"tags": ["vip"]},
        {"params": {"to": "ann"}},
        {"error": {"code": "smtp_refused", "message": "no"}},
        {"state": "running", "progress": {"percent": 50, "message": "half"}},
    ],
)
def test_a_row_shows_each_change_of_its_task(changed: dict[str, Any]) -> None:
    of = parts()
    before = row(of, task())
    assert row(of, task(**changed)) != before
    assert row(of, task()) == before


def test_how_long_a_task_has_been_running_goes_on() -> None:
    of, running = parts(), task(state="running", started_at=AT)
    assert "5.0 s" in row(of, running, AT + timedelta(seconds=5))
    made = of.task_cells.cache_info().misses
    assert "6.0 s" in row(of, running, AT + timedelta(seconds=6))
    assert of.task_cells.cache_info().misses == made


@pytest.mark.parametrize("chosen", [ALL, ("run_time",), ("run_time", "says"), ("name", "run_time"), ("name",)])
def test_a_row_of_a_running_task_has_the_same_cells_as_one_that_has_ended(chosen: tuple[str, ...]) -> None:
    of, until = parts(), AT + timedelta(seconds=5)
    progress = {"percent": 50, "message": "half"}
    running = row(of, task(state="running", started_at=AT, progress=progress), until, chosen)
    ended = row(of, task(state="succeeded", started_at=AT, finished_at=until), until, chosen)
    assert labels(running) == labels(ended)
    assert ("5.0 s" in running) == ("run_time" in chosen)


def labels(text: str) -> list[str]:
    assert text.startswith("<tr>")
    assert text.strip().endswith("</tr>")
    return re.findall('data-label="(.*?)"', text)


CRASH = Crash(
    task_id=UUID(ID), name="mail.send", queue="mail", attempt=1, outcome="crashed", started_at=AT, finished_at=AT
)


@pytest.mark.parametrize(
    "changed",
    [
        {"task_id": UUID(int=1)},
        {"name": "mail.sent"},
        {"queue": "post"},
        {"attempt": 2},
        {"outcome": "suspected"},
        {"message": "killed"},
        {"worker": "mailer-1"},
        {"child": "2"},
        {"started_at": AT - timedelta(seconds=1)},
        {"finished_at": AT + timedelta(days=1)},
        {"peak_memory_bytes": 1_000_000},
    ],
)
def test_a_row_shows_each_change_of_its_crash(changed: dict[str, Any]) -> None:
    of = parts()
    before = of.crash_row(CRASH, UTC_ZONE, True)
    assert of.crash_row(CRASH.model_copy(update=changed), UTC_ZONE, True) != before
    assert of.crash_row(CRASH.model_copy(), UTC_ZONE, True) is before


STEP = WorkflowStep(name="load", task_id=UUID(ID), task_name="do", state="queued", needs=["early"], needs_count=1)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "store"},
        {"task_id": UUID(int=1)},
        {"task_name": "keep"},
        {"state": "running"},
        {"optional": True},
        {"attempt": 2},
        {"started_at": AT},
        {"started_at": AT, "finished_at": AT},
        {"needs": ["late"]},
        {"needs_count": 6},
        {"state": "blocked", "pending_needs": 1},
        {"error": Failure(code="lost", message="no")},
    ],
)
def test_a_row_shows_each_change_of_its_step(changed: dict[str, Any]) -> None:
    of, step = parts(), STEP.model_copy(update=changed)
    shown = [of.step_row(steps.row_of(one, {}), "/workflows/1", "", UTC_ZONE) for one in (STEP, step, STEP)]
    assert shown[0] is shown[2]
    assert shown[0] != shown[1]
    # Where its needs are on the page, it leads to them.
    on_page = steps.row_of(step, {"early": STEP, "late": STEP})
    assert of.step_row(on_page, "/workflows/1", "", UTC_ZONE) != shown[1]


def test_only_those_entries_of_the_navigation_are_shown_that_the_reader_may_open() -> None:
    of, some = parts(), ENTRIES[:2]
    assert 'aria-current="page">Tasks' in of.navigation(some, "/tasks")
    assert "aria-current" not in of.navigation(some, "")
    for made in (of.navigation(some, "/tasks"), of.help(some)):
        assert "Tasks" in made
        assert "Audit" not in made


def test_the_same_row_is_made_once_for_each_zone_and_choice_of_columns() -> None:
    of = parts()
    budapest = ZoneInfo("Europe/Budapest")
    rows = {
        row(of, task(), zone=zone, chosen=chosen) for zone in (UTC_ZONE, budapest) for chosen in (ALL, ("created",))
    }
    again = row(of, task(), zone=budapest, chosen=("created",))
    assert len(rows) == 4
    assert "31 Jan 2026, 13:00:00" in again
    assert again in rows
    assert (of.task_row.cache_info().misses, of.task_row.cache_info().hits) == (4, 1)


def test_each_language_and_each_path_behind_a_proxy_has_its_own() -> None:
    assert "queued" in parts().state("queued")
    assert "wartet" in parts("de").state("queued")
    assert 'href="/console/queues/mail"' in parts(path="/console").queue("mail")
    assert 'href="/queues/mail"' in parts().queue("mail")


def test_what_a_task_controls_is_escaped_in_all_of_them() -> None:
    of = parts()
    error, progress = {"code": HOSTILE, "message": HOSTILE}, {"percent": 1, "message": HOSTILE}
    hostile = {"name": HOSTILE, "queue": HOSTILE, "tags": [HOSTILE], "worker": HOSTILE, "submitted_by": HOSTILE}
    failed = task(**hostile, state="failed", error=error, params={"a": HOSTILE})
    running = task(**hostile, state="running", progress=progress)
    letter = kept.row_of(failed)
    line = Line(AT, 1, HOSTILE, HOSTILE)
    needs = {"name": HOSTILE, "task_name": HOSTILE, "needs": [HOSTILE], "error": Failure(code=HOSTILE, message=HOSTILE)}
    hostile_step = steps.row_of(STEP.model_copy(update=needs), {})
    made = [
        row(of, failed),
        row(of, running),
        of.letter_row(letter, UTC_ZONE, True, False),
        of.log_line(line, UTC_ZONE, True),
        of.chart_row((HOSTILE, HOSTILE), (HOSTILE, HOSTILE)),
        of.crash_row(CRASH.model_copy(update=dict.fromkeys(HOSTILE_IN_CRASH, HOSTILE)), UTC_ZONE, True),
        of.step_row(hostile_step, HOSTILE, HOSTILE, UTC_ZONE),
        of.task_types((HOSTILE,)),
        of.queues((HOSTILE,)),
        of.options((HOSTILE,)),
        of.waiting_row(HOSTILE, HOSTILE, 1, 0, AT, HOSTILE, UTC_ZONE),
        *(make(HOSTILE) for make in (of.state, of.state_text, of.task_type, of.queue, of.tag, of.tasks_of_type)),
    ]
    for text in made:
        assert "<script" not in text
        assert "script" in text


def test_what_is_safe_is_told_from_the_same_text_that_is_not() -> None:
    of = parts()
    assert "<b>" in of.state_text(Markup("<b>"))
    assert of.state_text("<b>") == escape("<b>")


def test_as_many_are_kept_as_were_made_last() -> None:
    of = parts()
    for number in range(kept.MOST + 10):
        of.tag(f"tag-{number}")
    assert of.tag.cache_info().currsize == kept.MOST


def test_few_are_kept_of_what_shows_a_whole_list() -> None:
    of = parts()
    for number in range(kept.MOST_LISTS + 10):
        of.options((f"type-{number}",))
    assert of.options.cache_info().currsize == kept.MOST_LISTS


def test_a_row_is_not_kept_whose_text_is_long() -> None:
    of = parts()
    short, long = ("a" * (kept.MOST_OF_TEXT + more) for more in (0, 1))
    for text in (short, long, short, long):
        assert text in of.each("log_line", [Line(AT, 1, "info", text)], UTC_ZONE, False)
        assert text in of.each("crash_row", [CRASH.model_copy(update={"message": text})], UTC_ZONE, False)
    for made in (of.log_line, of.crash_row):
        assert (made.cache_info().hits, made.cache_info().currsize) == (1, 1)


def test_how_long_a_task_has_been_running_is_not_kept() -> None:
    of = parts()
    row(of, task(state="running", started_at=AT))
    assert of.run_time.cache_info().currsize == 0


def test_the_fields_of_the_menu_show_each_choice() -> None:
    of = parts()
    choices = [
        ("auto", "UTC", True, True),
        ("dark", "UTC", True, True),
        ("auto", "Europe/Budapest", True, True),
        ("auto", "UTC", False, True),
        ("auto", "UTC", True, False),
    ]
    assert len({of.choices(*one) for one in choices}) == len(choices)
    assert 'value="dark" selected' in of.choices(*choices[1])
    assert HOSTILE not in of.choices("auto", HOSTILE, True, True)


def test_a_message_that_nothing_shows_is_not_kept() -> None:
    found = kept.row_of(task(state="failed", error={"code": "a", "message": "word " * 1_000}))
    assert len(found.message) < 300
    assert parts().failure(found) == parts().failure(found._replace(message="word " * 1_000))
