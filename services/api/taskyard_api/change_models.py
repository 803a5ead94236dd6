"""The bodies of calls that change queues, and tasks that wait."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, Strict, ValidationInfo, field_validator, model_validator

from taskyard.admission.bodies import MAX_TASKS, NUMBER, Body, ErrorCode, Id, Instant, QueueName, Tag, TaskName
from taskyard.domain.messages import message
from taskyard.lifecycle.operations import CONDITIONS, Kind


def _without_null(schema: dict[str, Any]) -> None:
    for name, field in schema["properties"].items():
        kinds = [kind for kind in field.pop("anyOf", ()) if kind != {"type": "null"}]
        schema["properties"][name] = {**(kinds[0] if kinds else {}), **field}
        schema["properties"][name].pop("default", None)


class _Given(Body):
    """What is left out is not asked for; null is refused, because a filter of nothing but null would fit everything."""

    model_config = ConfigDict(json_schema_extra=_without_null)

    @field_validator("*", mode="before")
    @classmethod
    def _no_null(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name == "expires_at":
            raise ValueError(message("Every task has an expiry. Give a later time, within eleven years."))
        if value is None:
            raise ValueError(message("Must not be null. Leave it out."))
        return value


def _some(schema: dict[str, Any]) -> None:
    _without_null(schema)
    schema["minProperties"] = 1


def _one_of_two(schema: dict[str, Any]) -> None:
    _without_null(schema)
    schema["oneOf"] = [{"required": ["ids"]}, {"required": ["filter"]}]


LiveState = Literal["blocked", "scheduled", "queued", "running", "retrying"]


class CancelFilter(_Given):
    """All conditions have to hold."""

    model_config = ConfigDict(json_schema_extra=_some)

    state: Annotated[list[LiveState], Field(min_length=1, max_length=5)] = Field(
        default_factory=lambda: list(get_args(LiveState)), description="By default all that have not ended."
    )
    name: TaskName | None = None
    queue: QueueName | None = None
    tag: Tag | None = None
    workflow_id: Id | None = Field(default=None, description="The steps of this workflow.")
    created_after: Instant | None = None
    created_before: Instant | None = None

    @model_validator(mode="after")
    def _has_some(self) -> CancelFilter:
        if not self.model_fields_set:
            raise ValueError(message("Give one condition at least."))
        return self


class CancelBody(_Given):
    """The tasks: `ids`, or those that match a `filter`."""

    model_config = ConfigDict(json_schema_extra=_one_of_two)

    ids: list[Id] = Field(default_factory=list, min_length=1, max_length=MAX_TASKS)
    filter: CancelFilter | None = None
    dry_run: Annotated[bool, Strict()] = Field(default=False, description="Only count them, and show some.")
    count: Annotated[bool, Strict()] = Field(
        default=True, description="Whether `matched` counts all that fit; once is enough for many calls."
    )

    @model_validator(mode="after")
    def _one_way(self) -> CancelBody:
        if len(self.model_fields_set & {"ids", "filter"}) != 1:
            raise ValueError(message("Say which by `ids` or by `filter`, and not by both."))
        return self


# What a queue of one worker or a thousand may need. Fewer than one an hour is no rate.
MAX_CONCURRENT = 100_000
MIN_PER_SECOND, MAX_PER_SECOND = 1 / 3600, 100_000.0


class OperationFilter(_Given):
    """All conditions have to hold. `name`, `queue`, `operation_id` and times are for every action; `state`, `tag` and
    `workflow_id` for `cancel`, and the state `cancelled` for `retry`; `code` for dead letters; when they were discarded
    for `restore`."""

    model_config = ConfigDict(json_schema_extra=_some)

    state: Annotated[list[LiveState | Literal["cancelled"]], Field(min_length=1, max_length=5)] | None = Field(
        default=None,
        description="Of `cancel`: by default all that have not ended. Of `retry`: `cancelled`, for cancelled tasks"
        " instead of dead letters; steps of workflows are left out, which are retried as a whole.",
    )
    name: TaskName | None = None
    queue: QueueName | None = None
    tag: Tag | None = None
    workflow_id: Id | None = Field(default=None, description="The steps of this workflow.")
    operation_id: Id | None = Field(
        default=None,
        description="What this operation replayed, discarded or restored, unless others have since: to take it back.",
    )
    code: ErrorCode | None = Field(default=None, description="Of the task's error.")
    created_after: Instant | None = None
    created_before: Instant | None = None
    discarded_after: Instant | None = None
    discarded_before: Instant | None = None

    @model_validator(mode="after")
    def _has_some(self) -> OperationFilter:
        if not self.model_fields_set:
            raise ValueError(message("Give one condition at least."))
        return self


class OperationBody(Body):
    """`cancel` changes what has not ended, `retry` and `discard` dead letters, `restore` discarded ones; `retry` also
    cancelled tasks, by their state."""

    action: Literal["cancel", "retry", "discard", "restore"]
    filter: OperationFilter
    per_second: Annotated[float, Strict(), Field(ge=MIN_PER_SECOND, le=MAX_PER_SECOND)] | None = Field(
        default=None, description="At most so many tasks a second; by default as fast as it goes, replays 50."
    )
    dry_run: Annotated[bool, Strict()] = Field(default=False, description="Only count the tasks, and show some.")
    as_of: Instant | None = Field(
        default=None, description="The `at` of a dry run: what has been submitted, failed or discarded since stays."
    )

    @model_validator(mode="after")
    def _fits(self) -> OperationBody:
        wrong = sorted(self.filter.model_fields_set - CONDITIONS[Kind(self.action)])
        if wrong:
            raise ValueError(message("{action} has no condition {name}.", action=self.action, name=wrong[0]))
        states = set(self.filter.state or ())
        if self.action == "retry" and states - {"cancelled"}:
            raise ValueError(message("What is retried is cancelled, or a dead letter: give no other state."))
        if self.action == "cancel" and "cancelled" in states:
            raise ValueError(message("What is cancelled has not ended: give no other state."))
        return self

    @property
    def conditions(self) -> dict[str, Any]:
        return self.filter.model_dump(exclude_unset=True)


class PurgeBody(Body):
    dry_run: Annotated[bool, Strict()] = Field(default=False, description="Only count the tasks, and show some.")
    created_before: Instant | None = Field(default=None, description="Only tasks that were submitted earlier.")


class QueueBody(Body):
    """null removes a limit."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    concurrent: Annotated[int, Field(ge=1, le=MAX_CONCURRENT), NUMBER] | None = Field(
        default=None, description="So many of its tasks run at a time, on all workers together."
    )
    per_second: Annotated[float, Strict(), Field(ge=MIN_PER_SECOND, le=MAX_PER_SECOND)] | None = Field(
        default=None, description="So many of its tasks begin in a second, on all workers together."
    )

    @model_validator(mode="after")
    def _has_some(self) -> QueueBody:
        if not self.model_fields_set:
            raise ValueError(message("Give concurrent or per_second."))
        return self


class ChangeTask(_Given):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra=_some)

    queue: QueueName | None = Field(default=None, description="One that live workers of the type serve, if there are.")
    run_at: Instant | None = Field(
        default=None, description="Ten years ahead at most; a time that has passed means at once."
    )
    expires_at: Instant | None = Field(
        default=None,
        description="Not finished by then, it fails; within eleven years. Every task has one, so it cannot be removed.",
    )
    tags: Annotated[list[Tag], Field(max_length=20)] | None = Field(default=None, description="Instead of all it has.")

    @model_validator(mode="after")
    def _has_some(self) -> ChangeTask:
        if not self.model_fields_set:
            raise ValueError(message("Give one change at least."))
        return self
