"""The bodies of calls that change queues, and tasks that wait."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field, Strict, model_validator

from taskyard.admission.bodies import MAX_TASKS, NUMBER, Body, Id, Instant, QueueName, Tag, TaskName
from taskyard.domain.messages import message

LiveState = Literal["blocked", "scheduled", "queued", "running", "retrying"]


class CancelFilter(Body):
    """All conditions have to hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

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
    def _some(self) -> CancelFilter:
        if not any(value is not None for name, value in self if name in self.model_fields_set):
            raise ValueError(message("Give one condition at least."))
        return self


class CancelBody(Body):
    """The tasks: `ids`, or those that match a `filter`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["ids"]}, {"required": ["filter"]}]})

    ids: list[Id] = Field(default_factory=list, min_length=1, max_length=MAX_TASKS)
    filter: CancelFilter | None = None
    dry_run: Annotated[bool, Strict()] = Field(default=False, description="Only count them, and show some.")

    @model_validator(mode="after")
    def _one_way(self) -> CancelBody:
        if (self.filter is None) != ("ids" in self.model_fields_set):
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
    def _some(self) -> QueueBody:
        if not self.model_fields_set:
            raise ValueError(message("Give concurrent or per_second."))
        return self


class ChangeTask(Body):
    """What is left out, or null, stays as it is."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    queue: QueueName | None = Field(default=None, description="One that live workers of the type serve, if there are.")
    run_at: Instant | None = Field(
        default=None, description="Ten years ahead at most; a time that has passed means at once."
    )
    expires_at: Instant | None = Field(default=None, description="Not finished by then, it fails; within eleven years.")
    tags: Annotated[list[Tag], Field(max_length=20)] | None = Field(default=None, description="Instead of all it has.")

    @model_validator(mode="after")
    def _some(self) -> ChangeTask:
        if all(value is None for _, value in self):
            raise ValueError(message("Give one change at least."))
        return self
