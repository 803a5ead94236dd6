"""What the tasks of maintenance take and return."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from taskyard import Params, Result


class ExpiredDataCleaned(Result):
    redis_keys_cleaned: int = Field(description="Entries of caches without a time to live, which would stay for ever.")
    temp_files_removed: int


class ArchiveTasksParams(Params):
    dry_run: bool = Field(default=False, description="Only count the tasks whose retention is over.")


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
