"""files.cleanup_*: files that are too old, stored ones and temporary ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from taskyard import TaskContext, TaskError, task
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.storage.interface import StorageUnavailable
from taskyard.store.tree_items import TreeItem, owner_seen
from taskyard_kits import temporary_files

from .declarations import CleanupOldParams, CleanupTemporaryParams, OldFilesCleaned, TemporaryFilesCleaned
from .rules import AGE_RULE
from .settings import FileSettings
from .words import AGE_ERRORS

log = structlog.stdlib.get_logger(__name__)

_BATCH = 500
_NAMED = 20
_NO_TIME = "There was no time for all of them."


@task(
    "files.cleanup_temporary",
    queue="low_priority",
    rules=(temporary_files.FINAL,),
    errors=temporary_files.ERRORS,
)
def cleanup_temporary(params: CleanupTemporaryParams, *, context: TaskContext) -> TemporaryFilesCleaned:
    """Removes temporary files past their age."""
    removal = temporary_files.Removal(context, dry_run=params.dry_run)
    try:
        removal.remove_old(context.settings)
    except SoftTimeLimitExceeded:
        context.log(_NO_TIME, level="warning")
    return TemporaryFilesCleaned(dry_run=params.dry_run, temp_files_removed=removal.files)


@task("files.cleanup_old", queue="low_priority", rules=(AGE_RULE,), errors=AGE_ERRORS)
def cleanup_old(params: CleanupOldParams, *, context: TaskContext) -> OldFilesCleaned:
    """Deletes stored files past their age; those that a waiting or running task names stay."""
    settings: FileSettings = context.settings
    days = params.max_age_days or settings.file_cleanup_max_age_days
    if days < settings.file_cleanup_max_age_days:
        raise TaskError("age_too_short", retryable=False, days=settings.file_cleanup_max_age_days)
    cleaning = _Cleaning(context, timedelta(days=days), dry_run=params.dry_run)
    try:
        cleaning.run()
    except SoftTimeLimitExceeded:
        context.log(_NO_TIME, level="warning")
    return cleaning.done


class _Cleaning:
    """`done` is what it did so far. Another attempt finds what is left."""

    def __init__(self, context: TaskContext, age: timedelta, *, dry_run: bool) -> None:
        self._context = context
        self._age = age
        self._dry_run = dry_run
        self._owner = owner_seen(context.submitted_by, context.allowed_queues)
        self.done = OldFilesCleaned(dry_run=dry_run, files=0, bytes=0, in_use=0, names=[])

    def run(self) -> None:
        after: UUID | None = None
        while batch := self._next(after):
            after = batch[-1].id
            gone = self._spared(batch) if self._dry_run else self._deleted(batch)
            done = self.done
            self.done = OldFilesCleaned(
                dry_run=self._dry_run,
                files=done.files + len(gone),
                bytes=done.bytes + sum(item.size for item in gone),
                in_use=done.in_use + len(batch) - len(gone),
                names=[*done.names, *(item.name for item in gone)][:_NAMED],
            )
            self._context.progress(self.done.files, None, "Deleting old files")

    def _next(self, after: UUID | None) -> list[TreeItem]:
        self._context.check_cancelled()
        with self._context.shield:
            return self._context.upkeep.old_files(self._age, after=after, owner=self._owner, limit=_BATCH)

    def _spared(self, batch: Sequence[TreeItem]) -> list[TreeItem]:
        """What would be deleted."""
        with self._context.shield:
            named = self._context.upkeep.named_by_tasks([item.id for item in batch])
        return [item for item in batch if item.id not in named]

    def _deleted(self, batch: Sequence[TreeItem]) -> list[TreeItem]:
        with self._context.shield:
            ids = [item.id for item in batch]
            gone = self._context.upkeep.delete_files(ids, self._age, by=self._context.task_id)
        for item in gone:
            try:
                self._context.storage.delete(item.storage_key)
            except StorageUnavailable:  # the bytes are loose now: the API's sweep deletes them
                log.warning("object_left", key=item.storage_key)
        return gone
