"""The bodies and queries that callers send. These models validate them and describe them in the OpenAPI document."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, Strict, WithJsonSchema, model_validator

from taskyard.admission.bodies import (
    MAX_TASKS,
    NUMBER,
    Body,
    CallbackUrl,
    Decimal,
    ErrorCode,
    Id,
    Instant,
    QueueName,
    SubmitTask,
    Tag,
    TaskName,
    Whole,
)
from taskyard.domain.messages import message
from taskyard.domain.processes import MOST, ProcessRange
from taskyard.domain.tasks import State
from taskyard.store.audit import Action


class BatchFrame(Body):
    """A batch whose tasks are still to be validated."""

    tasks: list[Any] = Field(min_length=1, max_length=MAX_TASKS)


class SubmitBatch(Body):
    tasks: list[SubmitTask] = Field(min_length=1, max_length=MAX_TASKS)


class DeadLettersFilter(Body):
    """All conditions have to hold; without any: every dead letter."""

    name: TaskName | None = None
    queue: QueueName | None = None
    code: ErrorCode | None = Field(default=None, description="Of the task's error.")
    created_after: Instant | None = None
    created_before: Instant | None = None


class DeadLettersBody(Body):
    """The dead letters: `ids`, or those that match a `filter`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["ids"]}, {"required": ["filter"]}]})

    ids: list[Id] = Field(default_factory=list, min_length=1, max_length=MAX_TASKS)
    filter: DeadLettersFilter = Field(default_factory=DeadLettersFilter)
    dry_run: Annotated[bool, Strict()] = Field(default=False, description="Only count them, and show some.")

    @model_validator(mode="after")
    def _one_way(self) -> DeadLettersBody:
        if len(self.model_fields_set & {"ids", "filter"}) != 1:
            raise ValueError(message("Say which by `ids` or by `filter`, and not by both."))
        return self


class RetryBody(DeadLettersBody):
    """Dead letters: `ids`, or those that match a `filter`. Or cancelled tasks, by their `ids`."""

    cancelled: Annotated[bool, Strict()] = Field(
        default=False, description="Cancelled tasks instead, by their ids, but no steps of workflows."
    )

    @model_validator(mode="after")
    def _by_ids(self) -> RetryBody:
        if self.cancelled and "ids" not in self.model_fields_set:
            raise ValueError(message("Cancelled tasks are retried by `ids`; by a filter, start an operation."))
        return self


class DiscardedFilter(DeadLettersFilter):
    """All conditions have to hold; without any: every discarded one."""

    discarded_after: Instant | None = None
    discarded_before: Instant | None = None


class RestoreBody(DeadLettersBody):
    """Discarded dead letters: `ids`, or those that match a `filter`."""

    filter: DiscardedFilter = Field(default_factory=DiscardedFilter)


class WebhookEndpointBody(Body):
    url: CallbackUrl = Field(
        description="`https://` or `http://`, without a query. A `callback_url` may be this address or lie below it."
    )
    description: str = Field(default="", max_length=200)


class ThumbnailBody(Body):
    width: Annotated[int, Field(ge=1, le=4096), NUMBER]
    height: Annotated[int, Field(ge=1, le=4096), NUMBER]


_PROCESSES = "^[1-9][0-9]?(:[1-9][0-9]?)?$"


def _processes(value: Any) -> ProcessRange:
    text = str(value)
    if re.fullmatch(_PROCESSES, text):
        with suppress(ValueError):
            return ProcessRange.parse(text)
    raise ValueError(message("Must be a number from 1 to {most}, or MIN:MAX such as 2:8.", most=MOST))


_PROCESSES_SCHEMA = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST}, {"type": "string", "pattern": _PROCESSES}]
}


class WorkerPoolBody(Body):
    processes: Annotated[ProcessRange, PlainValidator(_processes), WithJsonSchema(_PROCESSES_SCHEMA)] = Field(
        description="A number, or `MIN:MAX` for as many as have work.", examples=["2:8"]
    )


class ControlPoint(Body):
    """A point of the image, in pixels, and where it lies."""

    row: float
    col: float
    x: float
    y: float


_WAYS: tuple[tuple[str, ...], ...] = (("bounds", "crs"), ("control_points", "crs"), ())


class ConversionBody(Body):
    """By `bounds` or by `control_points`, each with a `crs`; or, without any, by what the file says itself."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [*way], "maxProperties": len(way)} for way in _WAYS]}
    )

    bounds: list[float] = Field(
        default_factory=list, min_length=4, max_length=4, description="The least x and y, then the greatest."
    )
    control_points: list[ControlPoint] = Field(default_factory=list, min_length=3, max_length=1000)
    crs: str = Field(default="", pattern="^[A-Z]{2,10}:[0-9]{1,10}$", description="As EPSG:3857.")

    @model_validator(mode="after")
    def _one_way(self) -> ConversionBody:
        if self.model_fields_set not in map(set, _WAYS):
            raise ValueError(message("Give bounds or control_points, and crs with either."))
        return self


class Query(Body):
    """Query parameters arrive as text, so numbers are read from text."""


def _truth(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Truth = Annotated[bool, BeforeValidator(_truth)]


def split(value: object) -> object:
    """Several values of a query parameter, separated by commas."""
    return value.split(",") if isinstance(value, str) else value


States = Annotated[list[State], BeforeValidator(split), Field(min_length=1, max_length=8)]


class PageQuery(Query):
    limit: Whole = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(
        default=None, pattern="^[A-Za-z0-9_-]{22}$", description="`next_cursor` of the page before."
    )

    def filters(self) -> dict[str, Any]:
        """The conditions of the list, by name."""
        return self.model_dump(exclude={"limit", "cursor"})


_NameInList = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_-]{0,62}$")]


class LoadQuery(Query):
    queues: Annotated[list[_NameInList], BeforeValidator(split), Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Separated by commas; by default all that the key may see."
    )


Order = Literal["created", "running_longest", "waiting_longest"]


class TasksQuery(PageQuery):
    state: States | None = Field(default=None, description="One or several, separated by commas.")
    name: TaskName | None = None
    queue: QueueName | None = None
    tag: Tag | None = None
    workflow_id: Id | None = Field(default=None, description="The steps of this workflow.")
    parent_id: Id | None = Field(default=None, description="What this task submitted.")
    schedule_id: Id | None = Field(default=None, description="What this schedule submitted.")
    worker_id: Id | None = Field(default=None, description="What this worker runs now; `state` may be left out.")
    created_after: Instant | None = None
    created_before: Instant | None = None
    order: Order = Field(
        default="created",
        description="`created`: newest first. `running_longest`: what runs, the oldest start first; without `state`."
        " `waiting_longest`: what is queued, what was submitted first in front; without `state`, `parent_id` and"
        " `schedule_id`.",
    )

    @model_validator(mode="after")
    def _of_what_runs(self) -> TasksQuery:
        if self.order == "running_longest" and self.state not in (None, [State.RUNNING]):
            raise ValueError(message("With order=running_longest, state is running or left out."))
        if self.order == "waiting_longest":
            if self.state not in (None, [State.QUEUED]):
                raise ValueError(message("With order=waiting_longest, state is queued or left out."))
            if self.parent_id or self.schedule_id:
                raise ValueError(message("order=waiting_longest does not go with parent_id or schedule_id."))
        if self.worker_id and (self.order == "waiting_longest" or self.state not in (None, [State.RUNNING])):
            raise ValueError(message("With worker_id, state is running or left out."))
        return self


class DeadLettersQuery(DiscardedFilter, PageQuery):
    discarded: Truth = Field(default=False, description="Those that were discarded, instead of those that wait.")

    @model_validator(mode="after")
    def _when_discarded(self) -> DeadLettersQuery:
        if not self.discarded and (self.discarded_after or self.discarded_before):
            raise ValueError(message("discarded_after and discarded_before need discarded=true."))
        return self


class DeadLetterGroupsQuery(DeadLettersFilter, Query):
    pass


class WorkersQuery(PageQuery):
    queue: QueueName | None = Field(default=None, description="Those that serve it.")
    alive: Truth | None = Field(
        default=None, description="`true`: those whose heartbeat is not overdue; `false`: the others of the last hour."
    )


class AuditQuery(PageQuery):
    action: Action | None = None
    actor: str | None = Field(default=None, min_length=1, max_length=300, description="A key's name, or `cli:...`.")
    target: str | None = Field(default=None, min_length=1, max_length=200, description="The id of what was changed.")
    after: Instant | None = None
    before: Instant | None = None


class RotateQuery(Query):
    grace_seconds: Whole = Field(
        default=86_400, ge=0, le=30 * 86_400, description="For how long the secret before signs as well."
    )


class TaskQuery(Query):
    wait: Decimal = Field(default=0, ge=0, le=60, description="Seconds to wait until the task is final, at most.")


# Bounds of an optional number are told by hand: Pydantic describes those of a checked one by their Python names.
_ATTEMPTS = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
Attempt = Annotated[Whole, Field(ge=0, le=2**31 - 1), WithJsonSchema(_ATTEMPTS)]


class TimelineQuery(Query):
    limit: Whole = Field(default=200, ge=1, le=1000)
    cursor: str | None = Field(
        default=None,
        pattern=r"^[0-9]{1,9}\.[0-4]\.[0-9]{1,18}$",
        description="`next_cursor` of the page before, or the id of any event.",
    )
    order: Literal["oldest", "newest"] = Field(default="oldest", description="`newest`: from the end.")
    log: Truth | None = Field(default=None, description="`true`: the lines of the log alone. `false`: all but these.")
    attempt: Attempt | None = Field(default=None, description="The events of this attempt alone.")


class EventsQuery(Query):
    state: States | None = None
    name: TaskName | None = None
    queue: QueueName | None = None
    workflow_id: Id | None = None
