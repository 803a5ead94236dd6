"""What the API answers to changes of several tasks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from .models import Answer, Task


class Skipped(Answer):
    task_id: UUID
    reason: str


class Handled(Answer):
    """`matched`: all that fit, with those beyond the first 1,000; `sample`: of a dry run, the oldest of them.
    `changed_ids`: of the ids that were given, those that were changed. `skipped`: of the ids of a cancellation, those
    that are `unknown` or have `ended`. `descendants`, of the dry run of a cancellation: live tasks that these submitted
    and that are cancelled with them; `has_more_descendants`: not all were counted. `at`: when this was; as
    `created_before` of the next cancellation, or `as_of` of an operation, it leaves out what came since."""

    matched: int
    changed: int
    changed_ids: list[UUID] = Field(default_factory=list)
    descendants: int | None = None
    has_more_descendants: bool = False
    at: datetime | None = None
    sample: list[Task] = Field(default_factory=list)
    skipped: list[Skipped] = Field(default_factory=list)


class HandledInPart(Handled):
    """`has_more`: others are left."""

    has_more: bool = False


class Purge(Handled):
    """`left`: what still waits, without what was submitted since the call began, `at`."""

    left: int
    at: datetime | None = None
