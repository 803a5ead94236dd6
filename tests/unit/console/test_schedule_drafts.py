"""A schedule in a form: what stands in it, what is sent, and what of it has changed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from taskyard_client.management_models import Schedule
from taskyard_console import schedule_drafts as drafts
from taskyard_console.forms import Form
from taskyard_console.schemas import drawn, sent

ZONE = ZoneInfo("Europe/Budapest")


def schedule(**more: Any) -> Schedule:
    task = {
        "name": "email.send",
        "params": {"to": "ada@example.org", "token": "***"},
        "queue": "default",
        "max_attempts": 5,
        "soft_timeout_seconds": 60.0,
        "hard_timeout_seconds": 90.0,
        "tags": ["a", "b"],
        "on_cancel": "leave_children",
        "callback_url": None,
        "version": 1,
    }
    made: dict[str, Any] = {
        "id": uuid4(),
        "name": "news",
        "enabled": True,
        "version": 1,
        "task": task,
        "misfire": "once",
        "trigger": {"cron": "0 8 * * *", "timezone": None, "every_seconds": None, "at": None},
        "overlap": "skip",
        "catch_up_seconds": 86_400.0,
        "jitter_seconds": 0.5,
        "start_at": "2026-06-01T06:00:00Z",
        "created_at": "2026-01-01T00:00:00Z",
        "changed_at": "2026-01-01T00:00:00Z",
        **more,
    }
    return Schedule.model_validate(made)


@pytest.mark.parametrize(
    ("trigger", "sent"),
    [
        ({"cron": "0 8 * * *", "timezone": None}, {"cron": "0 8 * * *", "timezone": "UTC"}),
        ({"every_seconds": 7_200}, {"every_seconds": 7_200}),
        ({"every_seconds": 90}, {"every_seconds": 90}),
        ({"at": "2027-01-01T00:00:00+01:00"}, {"at": "2026-12-31T23:00:00+00:00"}),
    ],
)
def test_a_trigger_is_sent_as_it_was_told(trigger: dict[str, Any], sent: dict[str, Any]) -> None:
    assert drafts.trigger_of(drafts.of_schedule(schedule(trigger=trigger), ZONE), ZONE) == sent


def test_times_stand_in_the_readers_zone() -> None:
    assert drafts.of_schedule(schedule(), ZONE)["start_at"] == "2026-06-01T08:00:00"


def test_what_nobody_touched_is_not_sent() -> None:
    was = schedule()
    values = drafts.of_schedule(was, ZONE)
    before = drafts.marks(drafts.wish_of(values, {"to": "ada@example.org"}, ZONE, was.task))
    typed = drafts.of_form(Form({name: [text] for name, text in values.items()} | {"name": ["mail"]}))
    assert drafts.changed(drafts.wish_of(typed, {"to": "ada@example.org"}, ZONE, was.task), before) == {"name": "mail"}


def test_a_task_is_sent_whole_with_what_the_form_has_no_field_for() -> None:
    was = schedule()
    wish = drafts.wish_of(drafts.of_schedule(was, ZONE), {"to": "eve@example.org"}, ZONE, was.task)
    assert wish["task"] == {
        "name": "email.send",
        "params": {"to": "eve@example.org"},
        "queue": "default",
        "max_attempts": 5,
        "tags": ["a", "b"],
        "soft_timeout_seconds": 60.0,
        "hard_timeout_seconds": 90.0,
        "on_cancel": "leave_children",
    }


def test_what_is_no_number_and_no_time_is_left_to_the_api() -> None:
    values = drafts.blank("email.send", ZONE) | {"when": "every", "every": "often", "catch_up_hours": "2.5"}
    wish = drafts.wish_of(values | {"end_at": "soon"}, {}, ZONE)
    assert wish["trigger"] == {"every_seconds": "often"}
    assert (wish["end_at"], wish["catch_up_seconds"]) == ("soon", 9_000)


def test_untouched_parameters_come_back_as_a_browser_sends_them() -> None:
    schema = {
        "properties": {"to": {"type": "string"}, "at": {"type": "object", "properties": {"x": {"type": "integer"}}}}
    }
    form = sent(drawn(schema, {"to": "ada", "at": {"x": 3}}))
    assert (form.text("/to"), form.text("/at/x")) == ("ada", "3")
