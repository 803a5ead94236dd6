"""Removes final tasks that the operator wants no files of, and archives that are too old."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from uuid import UUID

import structlog

from taskyard import TaskContext
from taskyard.storage.interface import StorageUnavailable
from taskyard.store import old_tasks
from taskyard.store.old_tasks import Ages
from taskyard.store.tree_items import TreeItem

log = structlog.stdlib.get_logger(__name__)

_AT_ONCE, _ARCHIVES_AT_ONCE = 500, 100
_LONGEST_PAUSE_SECONDS = 0.5


def old_ids(context: TaskContext, ages: Ages) -> Iterator[UUID]:
    for first, before in old_tasks.ranges(ages):
        after: UUID | None = first
        while after is not None:
            context.check_cancelled()
            with context.shield:
                found = context.upkeep.look_for_old_tasks(ages, after, before)
            yield from found.old
            after = found.last


class Removal:
    """For one attempt; `removed` is what it did so far. Another attempt goes on with what is left."""

    def __init__(self, context: TaskContext, ages: Ages) -> None:
        self._context = context
        self._ages = ages
        self.removed = 0

    def run(self) -> None:
        """Each transaction is short, and a pause as long as it leaves the disk and vacuum half of the time."""
        ids = old_ids(self._context, self._ages)
        while batch := list(islice(ids, _AT_ONCE)):
            self._context.check_cancelled()
            began = time.monotonic()
            with self._context.shield:
                self.removed += self._context.upkeep.remove_old(batch, self._ages)
            self._context.progress(self.removed, None, "Removing old tasks")
            time.sleep(min(time.monotonic() - began, _LONGEST_PAUSE_SECONDS))


class ArchiveRemoval:
    """For one attempt; `deleted` is what it did so far."""

    def __init__(self, context: TaskContext, age: timedelta | None) -> None:
        self._context = context
        self._age = age
        self.deleted = 0

    def run(self) -> None:
        while self._age is not None and (gone := self._delete_some(self._age)):
            self.deleted += len(gone)
            for item in gone:
                try:
                    self._context.storage.delete(item.storage_key)
                except StorageUnavailable:  # the bytes are loose now: the API's sweep deletes them
                    log.warning("object_left", key=item.storage_key)

    def _delete_some(self, age: timedelta) -> list[TreeItem]:
        self._context.check_cancelled()
        with self._context.shield:
            return self._context.upkeep.delete_archives(age, by=self._context.task_id, limit=_ARCHIVES_AT_ONCE)
