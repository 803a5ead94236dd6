"""The body of a submit, as every caller fills it in: the API's schema, and the options of a submit in a transaction."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)

from ..catalogue.types import SHORTEST_LIMIT
from ..domain.messages import message
from ..domain.references import STEP_NAME
from ..domain.workflows import MAX_STEPS
from ..outbound.urls import MAX_URL

# Ten years, three of them leap years.
MAX_DELAY_SECONDS = 3653 * 86_400
MAX_TIMEOUT_SECONDS = 7 * 86_400
MAX_TASKS = 1000

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EXAMPLE = "2026-01-31T12:00:00Z"
# UUID() also reads braces, URNs, ids without hyphens or with underscores, and the digits of other scripts.
ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# As they are read from text: Pydantic and Python would also take 1_0, blanks, + and the digits of other scripts.
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError(
            message("{field} must be a time as in RFC 3339, with its offset: {example}", field="", example=_EXAMPLE)
        )
    return value


def _id(value: object) -> object:
    """Only the usual form with hyphens, as ids are shown."""
    if isinstance(value, str) and not ID.fullmatch(value):
        raise ValueError(message("{field} must be a UUID with hyphens", field=""))
    return value


def _in_utc(value: datetime) -> datetime:
    """The same instant in UTC. PostgreSQL knows years that Python does not, and rows with such years could not be read;
    the bounds leave room for offsets and sums."""
    if not 1970 <= value.year < 9000:
        raise ValueError(message("{field} must lie in the years 1970 to 8999", field=""))
    return value.astimezone(UTC)


def _number(value: object) -> object:
    """3 and 3.0 are the same number in JSON; "3" and true are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(  # noqa: TRY004 - pydantic takes ValueError
            message("{field} must be a valid integer", field="")
        )
    return value


def _whole(value: object) -> object:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError(message("{field} must be a whole number in digits", field=""))
    return value


def _decimal(value: object) -> object:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError(message("{field} must be a number in digits, with a point where it has decimals", field=""))
    return value


# Behind the bounds of an integer of a body: in front of them it would hide them from the schema.
NUMBER = BeforeValidator(_number)
Whole = Annotated[int, BeforeValidator(_whole)]
Decimal = Annotated[float, BeforeValidator(_decimal)]
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339, json_schema_input_type=datetime), AfterValidator(_in_utc)]
Id = Annotated[UUID, BeforeValidator(_id, json_schema_input_type=UUID)]
Timeout = Annotated[float, Strict(), Field(ge=SHORTEST_LIMIT.total_seconds(), le=MAX_TIMEOUT_SECONDS)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]
QueueName = Annotated[str, Field(min_length=1, max_length=64)]
TaskName = Annotated[str, Field(min_length=1, max_length=200)]
StepName = Annotated[str, Field(pattern=f"^{STEP_NAME}$")]
CallbackUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL)]
ErrorCode = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """Unknown names are refused, and errors never quote a value."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, frozen=True)


class UniqueBody(Body):
    """At most one task of this type has `key`, while it waits or until it ends."""

    key: str = Field(min_length=1, max_length=200)
    hold: Literal["waiting", "active"] = Field(alias="while")


class LimitsBody(Body):
    """How many tasks with this key may run at a time, and begin in a second, whatever their types and queues. What
    waits for that is queued and not published."""

    key: str = Field(min_length=1, max_length=200)
    concurrent: Annotated[int, Field(ge=1, le=100_000), NUMBER] | None = Field(
        default=None, description="So many run at a time, of all workers together."
    )
    per_second: Annotated[float, Strict(), Field(ge=0.001, le=1000)] | None = Field(
        default=None, description="So many begin in a second; 0.1 is one every ten seconds."
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.concurrent is None and self.per_second is None:
            raise ValueError("Give concurrent, per_second or both.")
        return self


class StepOptions(Body):
    """What every submit may say, whatever the type, and every step of a workflow."""

    queue: QueueName | None = Field(
        default=None,
        description="Instead of the type's queue; a queue exists once a worker serves it. Where live workers run the"
        " type, one of their queues.",
    )
    delay_seconds: Annotated[float, Strict(), Field(ge=0, le=MAX_DELAY_SECONDS)] | None = None
    run_at: Instant | None = Field(
        default=None,
        description="Ten years ahead at most; a time that has passed means at once. Not with `delay_seconds`.",
    )
    expires_at: Instant | None = Field(default=None, description="Not finished by then, it fails; within eleven years.")
    max_attempts: Annotated[int, Field(ge=1, le=100), NUMBER] | None = None
    soft_timeout_seconds: Timeout | None = None
    hard_timeout_seconds: Timeout | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    limits: LimitsBody | None = Field(default=None, description="A limit that this task shares with others.")
    on_cancel: Literal["cancel_children", "leave_children"] = "cancel_children"


class SubmitOptions(StepOptions):
    """What a submit may say beside that."""

    id: Id | None = Field(
        default=None,
        description="Of your choice: 409 `id_taken` where a task has it. Lists go by ids; UUIDs of version 7 sort by"
        " time, and others come before or after all of those. Without one the API makes one.",
    )
    unique: UniqueBody | None = None
    callback_url: CallbackUrl | None = Field(
        default=None, description="Who is told of the task, signed: under one of your webhook endpoints."
    )
    callback_on: list[Literal["progress", "final"]] | None = Field(
        default=None,
        min_length=1,
        max_length=2,
        description="By default the end. Progress: the newest, every five seconds at most.",
    )


class SubmitTask(SubmitOptions):
    name: TaskName = Field(description="A task type: GET /api/v1/task-types lists them.")
    params: dict[str, Any] = Field(default_factory=dict, description="As the type's own schema says; at most 256 KiB.")


_PARAMS_OF_A_STEP = (
    'As the type\'s own schema says; at most 256 KiB. `{"$result": "step.path.to[0]"}` in place of a value takes a part'
    " of the result of a step that this one needs."
)


class StepBody(StepOptions):
    name: TaskName = Field(description="A task type: GET /api/v1/task-types lists them.")
    params: dict[str, Any] = Field(default_factory=dict, description=_PARAMS_OF_A_STEP)
    needs: list[StepName] = Field(
        default_factory=list, max_length=MAX_STEPS, description="The steps that have to succeed before."
    )
    optional: Annotated[bool, Strict()] = Field(
        default=False, description="What needs it runs even where it did not succeed, and its result is null then."
    )

    # A step has none of these; the workflow has a callback.
    @property
    def id(self) -> None:
        return None

    @property
    def unique(self) -> None:
        return None

    @property
    def callback_url(self) -> None:
        return None

    @property
    def callback_on(self) -> None:
        return None


class WorkflowFrame(Body):
    """A workflow whose steps are still to be validated."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    on_failure: Literal["cancel_rest", "continue"] = Field(
        default="cancel_rest",
        description="What a step's failure ends: all steps that have not ended, or only those that need it.",
    )
    callback_url: CallbackUrl | None = Field(
        default=None, description="Who is told of the end, signed: under one of your webhook endpoints."
    )
    steps: dict[str, Any] = Field(min_length=1, max_length=MAX_STEPS)

    @property
    def callback_on(self) -> None:
        """Always the end."""
        return None


class SubmitWorkflow(WorkflowFrame):
    steps: dict[StepName, StepBody] = Field(min_length=1, max_length=MAX_STEPS, description="By names of your choice.")
