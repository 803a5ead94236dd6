"""A task that is to be submitted: its name, its parameters, and the options that all ways to submit share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from typing_extensions import Unpack

Params = Mapping[str, Any] | BaseModel
Unique = TypedDict("Unique", {"key": str, "while": Literal["waiting", "active"]})


class _Key(TypedDict):
    key: str


class Limits(_Key, total=False):
    """`concurrent` tasks with this `key` run at a time, and `per_second` begin in a second: one of both, or both."""

    concurrent: int | None
    per_second: float | None


class StepOptions(TypedDict, total=False):
    """As the API names them; seconds may be given as a timedelta, times need a time zone.
    None is the same as leaving it out."""

    queue: str | None
    delay_seconds: float | timedelta | None
    run_at: datetime | None
    expires_at: datetime | None
    max_attempts: int | None
    soft_timeout_seconds: float | timedelta | None
    hard_timeout_seconds: float | timedelta | None
    tags: Sequence[str] | None
    limits: Limits | None
    on_cancel: Literal["cancel_children", "leave_children"] | None


class TaskOptions(StepOptions, total=False):
    """Those that a step of a workflow does not have."""

    id: UUID | str | None
    unique: Unique | None
    callback_url: str | None
    callback_on: Sequence[Literal["progress", "final"]] | None


class SubmitOptions(TaskOptions, total=False):
    """`idempotency_key`: the caller's own, for a submit that may be repeated by another process; kept for 24 hours."""

    idempotency_key: str | None


class NewTask:
    """A task of `submit_many`: `NewTask("email.send", {...}, queue="low_priority")`."""

    __slots__ = ("fields",)

    def __init__(self, name: str, params: Params | None = None, **options: Unpack[TaskOptions]) -> None:
        self.fields = task_fields(name, params, options)


def task_fields(name: str, params: Params | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a submit.

    Raises TypeError for an option that there is not, and ValueError for a time without a time zone. Everything else
    is the API's to judge.
    """
    return _fields("submit", name, params, options, {**StepOptions.__annotations__, **TaskOptions.__annotations__})


def step_fields(name: str, params: Params | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a step."""
    return _fields("a step", name, params, options, StepOptions.__annotations__)


def _fields(
    what: str, name: str, params: Params | None, options: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    unknown = options.keys() - known.keys()
    if unknown:
        raise TypeError(f"{what} has no option {min(unknown)!r}; there are {', '.join(known)}")
    sent = params.model_dump(mode="json", by_alias=True) if isinstance(params, BaseModel) else dict(params or {})
    given = {option: _plain(option, value) for option, value in options.items() if value is not None}
    return {"name": name, "params": sent, **given}


def _plain(option: str, value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ValueError(f"{option} has no time zone: give datetime.now(timezone.utc) + ..., for example")
    return value


def encoded(value: Any) -> bytes:
    """JSON; with UUIDs, times, decimals, enumerations, dataclasses and Pydantic's models, as Pydantic writes them.

    Raises ValueError for NaN and infinity, TypeError or ValueError for what is no JSON.
    """
    return json.dumps(value, default=to_jsonable_python, allow_nan=False, separators=(",", ":")).encode()
