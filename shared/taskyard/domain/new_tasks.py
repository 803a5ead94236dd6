"""NewTask: what admission makes of a wish, and submit writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from .callbacks import Callback


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one task of this type with `key` while it is `waiting`, or while it is `active` (until its end)."""

    key: str
    hold: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all tasks with `key`, whatever their types and queues, so many run at a time (`concurrent`), and so many begin
    in a second. One of both, or both."""

    key: str
    concurrent: int | None = None
    per_second: float | None = None


# Not frozen: a frozen dataclass sets each field through `object.__setattr__`, at three times the price, and each submit
# makes one. The names of the fields are those that the statement in lifecycle/submit.py reads.
@dataclass(slots=True, kw_only=True)
class NewTask:
    """A validated task. `params` is JSON-able with secrets already encrypted; `run_at` wins over
    `delay_seconds`; without `expires_at` the task expires `life_seconds` after it is due, by PostgreSQL's clock.
    """

    id: UUID
    name: str
    queue: str
    params: dict[str, Any]
    version: int = 1
    max_attempts: int
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    delay_seconds: float | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    life_seconds: float | None = None
    tags: Sequence[str] = ()
    on_cancel: str = "cancel_children"
    unique: Unique | None = None
    limits: Limits | None = None
    request_id: str | None = None
    traceparent: str | None = None
    submitted_by: str | None = None
    allowed_queues: Sequence[str] | None = None
    callback: Callback | None = None
    workflow_id: UUID | None = None
    schedule_id: UUID | None = None
    parent_id: UUID | None = None

    def like(self, task_id: UUID, params: dict[str, Any], request_id: str | None, traceparent: str | None) -> NewTask:
        """Another one, with all else as here. Written out: that takes a quarter of the constructor's time."""
        made: NewTask = object.__new__(NewTask)
        made.id = task_id
        made.params = params
        made.request_id = request_id
        made.traceparent = traceparent
        made.name = self.name
        made.queue = self.queue
        made.version = self.version
        made.max_attempts = self.max_attempts
        made.soft_timeout_seconds = self.soft_timeout_seconds
        made.hard_timeout_seconds = self.hard_timeout_seconds
        made.delay_seconds = self.delay_seconds
        made.run_at = self.run_at
        made.expires_at = self.expires_at
        made.life_seconds = self.life_seconds
        made.tags = self.tags
        made.on_cancel = self.on_cancel
        made.unique = self.unique
        made.limits = self.limits
        made.submitted_by = self.submitted_by
        made.allowed_queues = self.allowed_queues
        made.callback = self.callback
        made.workflow_id = self.workflow_id
        made.schedule_id = self.schedule_id
        made.parent_id = self.parent_id
        return made
