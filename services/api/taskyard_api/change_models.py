"""The bodies of calls that change queues, and tasks that wait."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, Strict, field_validator, model_validator

from taskyard.admission.bodies import MAX_TASKS, NUMBER, Body, Id, Instant, QueueName, Tag, TaskName
from taskyard.domain.messages import message


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
    def _no_null(cls, value: object) -> object:
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

    @model_validator(mode="after")
    def _one_way(self) -> CancelBody:
        if len(self.model_fields_set & {"ids", "filter"}) != 1:
            raise ValueError(message("Say which by `ids` or by `filter`, and not by both."))
        return self


class PurgeBody(Body):
    dry_run: Annotated[bool, Strict()] = Field(default=False, description="Only count the tasks, and show some.")


# What a queue of one worker or a thousand may need. Fewer than one an hour is no rate.
MAX_CONCURRENT = 100_000
MIN_PER_SECOND, MAX_PER_SECOND = 1 / 3600, 100_000.0


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
    expires_at: Instant | None = Field(default=None, description="Not finished by then, it fails; within eleven years.")
    tags: Annotated[list[Tag], Field(max_length=20)] | None = Field(default=None, description="Instead of all it has.")

    @model_validator(mode="after")
    def _has_some(self) -> ChangeTask:
        if not self.model_fields_set:
            raise ValueError(message("Give one change at least."))
        return self
