"""What the tasks of maintenance take and return."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from taskyard import Params, Result


class ExpiredDataCleaned(Result):
    redis_keys_cleaned: int = Field(description="Entries of caches without a time to live, which would stay for ever.")
    temp_files_removed: int


class ArchiveTasksParams(Params):
    dry_run: bool = Field(default=False, description="Only count the tasks whose retention is over.")


class ChangeConditions(Params):
    """All conditions have to hold; which there are depends on the action."""

    state: list[str] | None = None
    name: str | None = None
    queue: str | None = None
    tag: str | None = None
    workflow_id: UUID | None = None
    code: str | None = None
    operation_id: UUID | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    discarded_after: AwareDatetime | None = None
    discarded_before: AwareDatetime | None = None


class ChangeTasksParams(Params):
    action: Literal["cancel", "retry", "discard", "restore"]
    filter: ChangeConditions
    per_second: float | None = Field(default=None, gt=0, description="At most so many tasks a second.")


class TasksChanged(Result):
    changed: int = Field(description="In all attempts.")
    skipped: int = Field(
        description="In this attempt: tasks that had moved on when their turn came, or had been asked to stop before."
    )


class TasksArchived(Result):
    archived: int = Field(
        description="Tasks that these files hold and that are gone from the ledger, also by an earlier attempt;"
        " dry_run: that would be."
    )
    removed: int = Field(
        default=0, description="Tasks that this attempt removed without a file; dry_run: that would be."
    )
    stayed: int = Field(
        default=0, description="Tasks that are in a file and stay in the ledger, because they changed meanwhile."
    )
    item_ids: list[UUID] = Field(default=[], description="The files that this attempt finished, as tree items.")
    archives_deleted: int = Field(default=0, description="Archives that were too old.")
    busy: bool = Field(
        default=False, description="Whether another task archives at this moment, and this one did nothing therefore."
    )
    more: bool = Field(default=False, description="Whether its time was over before all old tasks were archived.")
