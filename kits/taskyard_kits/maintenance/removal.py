"""Removes final tasks that the operator wants no files of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from taskyard import TaskContext
from taskyard.store import old_tasks
from taskyard.store.old_tasks import Ages

_AT_ONCE = 500
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
