"""A schedule as it stands in a form, and as the API takes it. The form checks nothing that the API checks: what is no
number or no time is passed on as it was typed, and the API says so in its own words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from taskyard_client.management_models import Schedule

from .formats import UTC_ZONE, moment_from, moment_of, zone_of
from .forms import Form
from .schema_fields import scalar

WAYS = ("cron", "every", "at")
UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
_HOUR = 3_600
# Of the task, what a change of it has to repeat, since a task is replaced as a whole.
_KEPT = ("soft_timeout_seconds", "hard_timeout_seconds", "on_cancel", "callback_url")
_BLANK = {
    "name": "",
    "task": "",
    "queue": "",
    "max_attempts": "",
    "tags": "",
    "when": "cron",
    "cron": "0 8 * * 1-5",
    "timezone": "UTC",
    "every": "15",
    "unit": "minutes",
    "at": "",
    "misfire": "once",
    "catch_up_hours": "24",
    "overlap": "allow",
    "jitter_seconds": "0",
    "start_at": "",
    "end_at": "",
}
Values = dict[str, str]


def blank(task: str, zone: ZoneInfo) -> Values:
    return {**_BLANK, "task": task, "timezone": zone.key}


def of_form(form: Form) -> Values:
    return {name: form.text(name).strip() for name in _BLANK}


def zone_of_form(form: Form, zone: ZoneInfo) -> ZoneInfo:
    """The zone that the form's times were shown in: the reader may have chosen another one meanwhile."""
    return zone_of(form.text("zone")) or zone


def of_schedule(schedule: Schedule, zone: ZoneInfo) -> Values:
    """`zone`: the reader's, which times are shown in."""
    trigger, task = schedule.trigger, schedule.task
    every = trigger.get("every_seconds") or 900
    unit = next(name for name in reversed(UNITS) if every % UNITS[name] == 0)
    return {
        **_BLANK,
        "name": schedule.name,
        "task": task["name"],
        "queue": task["queue"],
        "max_attempts": str(task["max_attempts"]),
        "tags": "\n".join(task["tags"]),
        "when": "cron" if trigger.get("cron") else "every" if trigger.get("every_seconds") else "at",
        "cron": trigger.get("cron") or "",
        "timezone": trigger.get("timezone") or UTC_ZONE.key,
        "every": str(every // UNITS[unit]),
        "unit": unit,
        "at": _typed(trigger.get("at"), zone),
        "misfire": schedule.misfire,
        "catch_up_hours": f"{schedule.catch_up_seconds / _HOUR:g}",
        "overlap": schedule.overlap,
        "jitter_seconds": f"{schedule.jitter_seconds:g}",
        "start_at": _typed(schedule.start_at, zone),
        "end_at": _typed(schedule.end_at, zone),
    }


def trigger_of(values: Values, zone: ZoneInfo) -> dict[str, Any]:
    match values["when"]:
        case "every":
            every = _number(values["every"])
            return {"every_seconds": every * UNITS.get(values["unit"], 1) if isinstance(every, int) else every}
        case "at":
            return {"at": _instant(values["at"], zone) or ""}
    return {"cron": values["cron"], "timezone": values["timezone"] or UTC_ZONE.key}


def bounds_of(values: Values, zone: ZoneInfo) -> dict[str, Any]:
    return {name: _instant(values[name], zone) for name in ("start_at", "end_at")}


def wish_of(
    values: Values, params: Mapping[str, Any], zone: ZoneInfo, kept: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of `POST /schedules`. `kept`: the task of the schedule that is changed."""
    options = {
        "queue": values["queue"],
        "max_attempts": _number(values["max_attempts"]),
        "tags": [tag for line in values["tags"].splitlines() if (tag := line.strip())],
        **{name: (kept or {}).get(name) for name in _KEPT},
    }
    catch_up = _number(values["catch_up_hours"])
    return {
        "name": values["name"],
        "task": {
            "name": values["task"],
            "params": dict(params),
            **{name: value for name, value in options.items() if value not in ("", None)},
        },
        "trigger": trigger_of(values, zone),
        "misfire": values["misfire"],
        "overlap": values["overlap"],
        "catch_up_seconds": catch_up if isinstance(catch_up, str) else catch_up * _HOUR,
        "jitter_seconds": _number(values["jitter_seconds"]),
        **bounds_of(values, zone),
    }


def marks(wish: Mapping[str, Any]) -> Values:
    """What tells later whether a field was touched, for a form to carry along."""
    return {name: _mark(value) for name, value in wish.items()}


def changed(wish: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `PATCH /schedules/{id}`: what is not given stays, so that an interval does not begin anew, what
    somebody else changed meanwhile is kept, and so are secret parameters, which nobody is shown, while nothing else of
    the task is changed. `before`: the marks of the form as it was shown."""
    return {name: value for name, value in wish.items() if _mark(value) != before.get(name)}


def _mark(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=12).hexdigest()


def _number(text: str) -> Any:
    return scalar("number", text)


def _instant(text: str, zone: ZoneInfo) -> str | None:
    try:
        found = moment_from(text, zone)
    except ValueError:
        return text
    return None if found is None else found.isoformat()


def _typed(at: Any, zone: ZoneInfo) -> str:
    """As a field for a time has it."""
    found = moment_of(at)
    return "" if found is None else found.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")
