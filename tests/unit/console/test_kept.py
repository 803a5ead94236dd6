"""Parts of pages that are kept: never out of date, never another reader's, and nothing in them is taken for HTML."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from jinja2 import meta
from markupsafe import Markup, escape

from taskyard_client.models import Task
from taskyard_console import columns, kept
from taskyard_console.attempts import Line
from taskyard_console.formats import UTC_ZONE
from taskyard_console.rendering import Rendering
from taskyard_console.words import read_catalogues

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "0193a6f0-0000-7000-8000-000000000001"
HOSTILE = "<script>alert('\"&')</script>"
CATALOGUES = read_catalogues()
ALL = tuple(columns.COLUMNS)


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
    return str(of.task_row(kept.row_of(one, now, chosen), shown, zone, True))


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
    assert "6.0 s" in row(of, running, AT + timedelta(seconds=6))


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
    letter = kept.row_of(failed, AT)
    line = Line(AT, 1, HOSTILE, HOSTILE)
    made = [
        row(of, failed),
        row(of, running),
        of.letter_row(letter, UTC_ZONE, True, False),
        of.log_line(line, UTC_ZONE, True),
        of.chart_row((HOSTILE, HOSTILE), (HOSTILE, HOSTILE)),
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


def test_a_message_that_nothing_shows_is_not_kept() -> None:
    found = kept.row_of(task(state="failed", error={"code": "a", "message": "word " * 1_000}), AT)
    assert len(found.message) < 300
    assert parts().failure(found) == parts().failure(found._replace(message="word " * 1_000))
