"""A submit as it was typed into a form: parameters, options, and the same as a request to copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from taskyard_client import TaskType
from taskyard_client.models import Task

from . import masked, schemas
from .formats import moment_from
from .forms import Form
from .json_text import json_text
from .schema_fields import scalar
from .schema_kinds import Schema

# Where the API says that something is wrong, by the field that it was typed into.
_FIELDS = {
    "/queue": "queue",
    "/delay_seconds": "delay_seconds",
    "/run_at": "run_at",
    "/expires_at": "expires_at",
    "/max_attempts": "max_attempts",
    "/soft_timeout_seconds": "soft_timeout_seconds",
    "/hard_timeout_seconds": "hard_timeout_seconds",
    "/tags": "tags",
    "/unique": "unique_key",
    "/unique/key": "unique_key",
    "/unique/while": "unique_while",
    "/limits": "limit_key",
    "/limits/key": "limit_key",
    "/limits/concurrent": "limit_concurrent",
    "/limits/per_second": "limit_per_second",
    "/callback_url": "callback_url",
}
FIELDS = tuple(dict.fromkeys(_FIELDS.values()))
_NUMBERS = ("delay_seconds", "max_attempts", "soft_timeout_seconds", "hard_timeout_seconds")
_TIMES = ("run_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Submission:
    """`typed`: the texts of the options' fields. `faults`: of `schemas`, `NOT_A_TIME` or `MISSING` by field."""

    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(FIELDS, ""))
    faults: dict[str, str] = field(default_factory=dict)


NOT_A_TIME = "not_a_time"
MISSING = "missing"


def options_of(task: Task, kind: TaskType) -> dict[str, str]:
    """Those of a task that are not its type's, as they are typed. When it runs and expires is a new task's own."""
    limits = task.limits or {}
    given = {
        "queue": task.queue if task.queue != kind.queue else "",
        "tags": "\n".join(task.tags),
        "max_attempts": _unless(task.max_attempts, kind.retry.max_attempts),
        "soft_timeout_seconds": _unless(task.soft_timeout_seconds, kind.soft_timeout_seconds),
        "hard_timeout_seconds": _unless(task.hard_timeout_seconds, kind.hard_timeout_seconds),
        "callback_url": task.callback_url or "",
        **{f"limit_{name}": _unless(limits.get(name), None) for name in ("key", "concurrent", "per_second")},
    }
    return dict.fromkeys(FIELDS, "") | given


def _unless(value: Any, usual: Any) -> str:
    return "" if value is None or value == usual else f"{value:g}" if isinstance(value, float) else str(value)


def read(schema: Schema, form: Form, zone: ZoneInfo) -> Submission:
    params, faults = schemas.read(schema, form)
    typed = {name: form.text(name).strip() for name in FIELDS}
    options: dict[str, Any] = {name: typed[name] for name in ("queue", "callback_url")} | {
        name: scalar("number", typed[name]) for name in _NUMBERS
    }
    for name in _TIMES:
        try:
            options[name] = moment_from(typed[name], zone)
        except ValueError:
            faults[name] = NOT_A_TIME
    options["tags"] = [tag for line in typed["tags"].splitlines() if (tag := line.strip())]
    if typed["unique_key"]:
        options["unique"] = {"key": typed["unique_key"], "while": typed["unique_while"]}
    limits = {name: typed[f"limit_{name}"] for name in ("concurrent", "per_second") if typed[f"limit_{name}"]}
    if typed["limit_key"] or limits:
        numbers = {name: scalar("number", text) for name, text in limits.items()}
        options["limits"] = {"key": typed["limit_key"], **numbers}
    known = schemas.names_of(schemas.drawn(schema, typed=form))
    for place in masked.still_empty(params, form.all("masked")):
        faults.setdefault(nearest(place, known) or "", MISSING)
    given = {name: value for name, value in options.items() if value not in ("", None, [])}
    return Submission(params, given, typed, faults)


def placed(errors: list[tuple[str, str]], known: set[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What the API says of a submit, by field; and what belongs to none. `known`: the fields of the parameters."""
    found: dict[str, str] = {}
    rest = []
    for pointer, said in errors:
        below = pointer.removeprefix("/params")
        # What is wrong in an entry of a list, or in JSON, is said beside the field that holds it.
        name = nearest(below, known) if below != pointer else nearest(pointer, _FIELDS)
        if name is None:
            rest.append((pointer, said))
        else:
            found.setdefault(_FIELDS.get(name, name), said)
    return found, rest


def nearest(pointer: str, known: Collection[str]) -> str | None:
    """The field that holds the place of a fault; None: there is none."""
    while pointer and pointer not in known:
        pointer = pointer.rpartition("/")[0]
    return pointer if pointer in known else None


def body_of(name: str, submission: Submission, schema: Schema | None = None) -> str:
    """The request as JSON. With a `schema`, without what it calls secret."""
    body = {"name": name, "params": _shown(submission, schema), **submission.options}
    return json_text(body, indent=2, default=datetime.isoformat)


def code_of(name: str, submission: Submission, schema: Schema) -> str:
    """The same with the Python client."""
    lines = [repr(name), repr(_shown(submission, schema))]
    lines += [f"{option}={_python(value)}" for option, value in submission.options.items()]
    imports = "from datetime import datetime\n\n" if any(name in submission.options for name in _TIMES) else ""
    return (
        f"{imports}from taskyard_client import Client\n\ntask = Client().submit(\n    " + ",\n    ".join(lines) + ",\n)"
    )


def _shown(submission: Submission, schema: Schema | None) -> Any:
    return submission.params if schema is None else masked.hidden(schema, schema, submission.params)


def _python(value: Any) -> str:
    return f"datetime.fromisoformat({value.isoformat()!r})" if isinstance(value, datetime) else repr(value)
