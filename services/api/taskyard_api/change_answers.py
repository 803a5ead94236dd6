"""What changes of several tasks answer, for the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from .answers import Shown, Task, ToldTask


class Handled(Shown):
    matched: int = Field(description="All that fit, with those beyond the first 1,000.")
    changed: int
    changed_ids: list[UUID] = Field(
        default=[], description="Of `ids`: those that were changed, which is what can be taken back."
    )
    sample: list[Task] | list[ToldTask] = Field(
        default=[], description="With `dry_run`: the first of them, in the order they would go."
    )


class Skipped(Shown):
    task_id: UUID
    reason: Literal["unknown", "ended"] = Field(description="`unknown`: there is none, or your key may not see it.")


class Followed(Handled):
    """Of a cancellation."""

    descendants: int | None = Field(
        default=None,
        description="With `dry_run`: live tasks that these submitted, directly or not, and that are cancelled, too.",
    )
    has_more_descendants: bool = Field(
        default=False, description="Only the oldest 10,000 tasks, or 10,000 of their descendants, were looked at."
    )


class Looked(Followed):
    at: datetime = Field(description="When this was. As `as_of` of the operation it pins down what is changed.")


class HandledInPart(Followed):
    matched: int = Field(description="All that fit, with those beyond the first 1,000; without `count`, those changed.")
    has_more: bool = Field(default=False, description="Whether others are left to cancel: call again.")
    at: datetime = Field(
        description="When this was. As `created_before` of the next call it leaves out what has been submitted since."
    )
    skipped: list[Skipped] = Field(default=[], description="Of `ids`: those that match no task that lives.")
