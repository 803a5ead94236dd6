"""A schedule as people write it: the bodies of the API, and the entries of a file (`schedules apply`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict, model_validator

from ..admission.bodies import NUMBER, Body, CallbackUrl, Instant, QueueName, SubmitTask, Tag, TaskName, Timeout
from ..domain.cron import MAX_CRON, read_cron
from ..domain.messages import message
from .triggers import zone_of

MAX_EVERY_SECONDS = 3660 * 86_400
MAX_CATCH_UP_SECONDS = 7 * 86_400
MAX_JITTER_SECONDS = 86_400
MAX_PREVIEWED = 100
SHOWN_FIRES = 5


def _cron(text: str) -> str:
    read_cron(text)
    return text


def _zone(name: str) -> str:
    zone_of(name)
    return name


class TriggerBody(Body):
    """When: one of `cron` (with its `timezone`), `every_seconds` and `at`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [way]} for way in ("cron", "every_seconds", "at")]}
    )

    cron: Annotated[str, Field(min_length=1, max_length=MAX_CRON), AfterValidator(_cron)] | None = Field(
        default=None,
        description="Minute, hour, day of the month, month, day of the week, as cron has them; the day of the month"
        " may be `last`, `2nd fri` or `last sun`, too.",
    )
    timezone: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_zone)] | None = Field(
        default=None, description="Of `cron`: a name of IANA's, as Europe/Budapest. By default UTC."
    )
    every_seconds: Annotated[int, Field(ge=1, le=MAX_EVERY_SECONDS), NUMBER] | None = Field(
        default=None, description="By elapsed time: from `start_at`, or from when the schedule was made."
    )
    at: Instant | None = Field(default=None, description="Once.")

    @model_validator(mode="after")
    def _one_way(self) -> TriggerBody:
        ways = [way for way in ("cron", "every_seconds", "at") if getattr(self, way) is not None]
        if len(ways) != 1:
            raise ValueError(message("Give one of `cron`, `every_seconds` and `at`."))
        if self.timezone is not None and self.cron is None:
            raise ValueError(message("A `timezone` belongs to a `cron` expression."))
        return self

    def stored(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class ScheduledTask(Body):
    """What is submitted at each due time; as in POST /tasks, apart from times, keys and ids."""

    name: TaskName = Field(description="A task type: GET /api/v1/task-types lists them.")
    params: dict[str, Any] = Field(default_factory=dict, description="As the type's own schema says; at most 256 KiB.")
    queue: QueueName | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100), NUMBER] | None = None
    soft_timeout_seconds: Timeout | None = None
    hard_timeout_seconds: Timeout | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    on_cancel: Literal["cancel_children", "leave_children"] = "cancel_children"
    callback_url: CallbackUrl | None = Field(
        default=None, description="Who is told of each task, signed: under one of your webhook endpoints."
    )
    callback_on: list[Literal["progress", "final"]] | None = Field(default=None, min_length=1, max_length=2)

    @property
    def submit(self) -> SubmitTask:
        return SubmitTask.model_construct(**self.model_dump(exclude_unset=True))


# Without control characters, and without blanks around it.
_NAME = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"
ScheduleName = Annotated[str, Field(min_length=1, max_length=100, pattern=_NAME)]
Misfire = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip"]
CatchUp = Annotated[float, Strict(), Field(ge=0, le=MAX_CATCH_UP_SECONDS)]
Jitter = Annotated[float, Strict(), Field(ge=0, le=MAX_JITTER_SECONDS)]
Enabled = Annotated[bool, Strict()]

_MISFIRE = "Of due times that were missed while no scheduler ran: none, one for all of them, or each gets its task."
_OVERLAP = "Whether a due time gets its task while the task before has not ended."
_CATCH_UP = "How old a missed due time may be to get its task; by default a day, a week at most."
_JITTER = "Each due time is put off by a random part of it."


class ScheduleBody(Body):
    name: ScheduleName = Field(description="There is one schedule of a name.")
    task: ScheduledTask
    trigger: TriggerBody
    misfire: Misfire = Field(default="once", description=_MISFIRE)
    overlap: Overlap = Field(default="allow", description=_OVERLAP)
    catch_up_seconds: CatchUp = Field(default=86_400, description=_CATCH_UP)
    start_at: Instant | None = Field(default=None, description="Nothing is due before.")
    end_at: Instant | None = Field(default=None, description="Nothing is due later.")
    jitter_seconds: Jitter = Field(default=0, description=_JITTER)
    enabled: Enabled = True


def _if_given(description: str | None = None) -> Any:
    """May be left out, and cannot be null."""
    return Field(default_factory=lambda: None, description=description)


class ScheduleChange(Body):
    """What is given is changed: `model_fields_set`. `start_at` and `end_at` null: no bound."""

    name: ScheduleName = _if_given()
    task: ScheduledTask = _if_given("All of it, not a part.")
    trigger: TriggerBody = _if_given("All of it. An interval begins anew.")
    misfire: Misfire = _if_given(_MISFIRE)
    overlap: Overlap = _if_given(_OVERLAP)
    catch_up_seconds: CatchUp = _if_given(_CATCH_UP)
    start_at: Instant | None = None
    end_at: Instant | None = None
    jitter_seconds: Jitter = _if_given(_JITTER)
    enabled: Enabled = _if_given()


class PreviewBody(Body):
    trigger: TriggerBody
    count: Annotated[int, Field(ge=1, le=MAX_PREVIEWED), NUMBER] = SHOWN_FIRES
    start_at: Instant | None = None
    end_at: Instant | None = None
