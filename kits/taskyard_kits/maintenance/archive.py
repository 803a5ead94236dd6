"""Moves final tasks from the ledger into files: first the file, read back and compared, then the rows.

Whatever dies in between, the ledger knows the open archive: without a file it is begun anew, with one its tasks are
deleted before another one begins. So no task goes before a file holds it, and none is in two files, unless it changed
after it was written: then it stays in the ledger, and `tasks` and `deleted` of that archive differ.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO
from uuid import UUID

from taskyard import TaskContext, TaskError
from taskyard.domain.ids import new_id
from taskyard.lifecycle.archive import Archived, FileDeleted
from taskyard.storage.archive_lines import ArchiveDamaged, ArchiveWriter, kind_of, read_lines, values_of, writing
from taskyard.storage.interface import ObjectMissing, Stored
from taskyard.store import loose_objects, old_tasks
from taskyard.store.old_tasks import Ages
from taskyard.store.task_archives import OBJECT_TYPE, Span, TaskArchive
from taskyard.store.tree_items import TreeItem
from taskyard_kits.stored_files import storage_errors

from .declarations import TasksArchived
from .removal import old_ids

TASKS_OF_A_FILE = 10_000
# A task has half a MiB at most, an event 8 KiB; both sides of a page are in memory.
_TASKS_OF_A_PAGE, _ROWS_OF_A_PAGE = 50, 500
_DELETED_AT_ONCE = 500
_BLOCK_BYTES = 1024 * 1024
_JSON = frozenset({"params", "limits", "callback", "result", "error", "data"})


class Archiver:
    """For one attempt. `done` is what it did so far."""

    def __init__(self, context: TaskContext, ages: Ages) -> None:
        self._context = context
        self._upkeep = context.upkeep
        self._ids = old_ids(context, ages)
        self.done = TasksArchived(archived=0)

    def run(self) -> None:
        """Raises TaskError, Fenced."""
        longest = 0.0
        while True:
            began = time.monotonic()
            with self._context.shield:
                archive = self._upkeep.begin_archive(self._context.task_id, self._context.claim)
            if archive is None:
                self.done = self.done.model_copy(update={"busy": True})
                return
            if archive.item_id is None:
                archive = self._filled(archive)
            if archive is None:
                return
            self._clear(archive)
            longest = max(longest, time.monotonic() - began)
            if self._context.seconds_left < 2 * longest:
                self._tell(more=True)
                return

    def _filled(self, archive: TaskArchive) -> TaskArchive | None:
        """With its file; None where no old task is left."""
        while ids := list(islice(self._ids, TASKS_OF_A_FILE)):
            with storage_errors(), self._context.storage.writer() as storage_writer:
                with writing(storage_writer, archive.id, self._context.task_id, _JSON) as lines:
                    span = self._write(lines, ids)
                if span is None:  # all of them were retried meanwhile
                    continue
                with self._context.db() as conn:
                    loose_objects.note(conn, storage_writer.key)
                content = storage_writer.commit()
            item = self._item(archive, content)
            # Where this fails the bytes are left to the sweep of loose objects: the commit may have gone through.
            with self._context.shield:
                self._upkeep.store_archive(archive, item, span)
                return self._upkeep.begin_archive(self._context.task_id, self._context.claim)
        with self._context.shield:
            self._upkeep.abandon_archive(archive)
        return None

    def _item(self, archive: TaskArchive, content: Stored) -> TreeItem:
        """Without an owner: an archive holds tasks of all keys, and only unrestricted ones may see it."""
        return TreeItem(
            id=new_id(),
            name=f"tasks-{archive.created_at:%Y-%m-%d}-{archive.id}.jsonl.gz",
            object_type=OBJECT_TYPE,
            content_type="application/gzip",
            size=content.size,
            sha256=content.sha256,
            storage_key=content.key,
            task_id=self._context.task_id,
        )

    def _write(self, lines: ArchiveWriter, ids: list[UUID]) -> Span | None:
        span: Span | None = None
        for start in range(0, len(ids), _TASKS_OF_A_PAGE):
            self._context.check_cancelled()
            with self._context.shield:
                tasks = self._upkeep.tasks(ids[start : start + _TASKS_OF_A_PAGE])
            for task in tasks:
                lines.write("task", task._mapping)
                at = task.finished_at
                span = (
                    Span(1, task.id, task.id, at, at)
                    if span is None
                    else Span(
                        span.tasks + 1,
                        span.first_id,
                        task.id,
                        min(span.first_finished_at, at),
                        max(span.last_finished_at, at),
                    )
                )
            for kind in old_tasks.KINDS:
                self._write_belongings(lines, kind, [task.id for task in tasks])
            self._context.progress(self.done.archived, None, "Writing the tasks into a file")
        return span

    def _write_belongings(self, lines: ArchiveWriter, kind: str, ids: list[UUID]) -> None:
        after: tuple[UUID, int] | None = None
        while True:
            self._context.check_cancelled()
            with self._context.shield:
                rows = self._upkeep.belongings(kind, ids, after, _ROWS_OF_A_PAGE)
            for row in rows:
                lines.write(kind, row._mapping)
            if len(rows) < _ROWS_OF_A_PAGE:
                return
            after = rows[-1].task_id, rows[-1].id

    def _clear(self, archive: TaskArchive) -> None:
        """Deletes what the archive's file holds, after it was read and compared as a whole."""
        try:
            item = self._item_of(archive)
            self._check(archive, item)
            gone = archive.deleted + self._delete(archive, item)
        except FileDeleted:
            self._context.log("The file of an open archive was deleted; its tasks are archived anew.", level="warning")
        else:
            self._tell(archived=gone, stayed=archive.tasks - gone, item=item)
        with self._context.shield:
            self._upkeep.close_archive(archive)

    def _item_of(self, archive: TaskArchive) -> TreeItem:
        with self._context.shield:
            item = self._upkeep.file_of(archive)
        if item is None:
            raise FileDeleted("the item of this archive was deleted")
        return item

    @contextmanager
    def _opened(self, archive: TaskArchive, item: TreeItem) -> Iterator[BinaryIO]:
        try:
            with storage_errors(), self._context.storage.open(item.storage_key) as file:
                yield file
        except TaskError as e:
            if isinstance(e.__cause__, ObjectMissing):
                self._item_of(archive)  # raises FileDeleted where the item went with its bytes
                raise _damaged(item) from e
            raise

    def _check(self, archive: TaskArchive, item: TreeItem) -> None:
        digest = hashlib.sha256()
        with self._opened(archive, item) as file:
            while block := file.read(_BLOCK_BYTES):
                self._context.check_cancelled()
                digest.update(block)
        if digest.hexdigest() != item.sha256:
            raise _damaged(item)

    def _delete(self, archive: TaskArchive, item: TreeItem) -> int:
        gone = 0
        with self._opened(archive, item) as file:
            try:
                tasks = (_archived(line) for line in read_lines(file) if kind_of(line) == "task")
                while batch := list(islice(tasks, _DELETED_AT_ONCE)):
                    self._context.check_cancelled()
                    with self._context.shield:
                        gone += self._upkeep.delete_archived(archive, batch)
                    self._context.progress(self.done.archived + gone, None, "Deleting what is archived")
            except ArchiveDamaged as e:
                raise _damaged(item) from e
        return gone

    def _tell(self, *, archived: int = 0, stayed: int = 0, item: TreeItem | None = None, more: bool = False) -> None:
        self.done = TasksArchived(
            archived=self.done.archived + archived,
            stayed=self.done.stayed + max(0, stayed),
            item_ids=[*self.done.item_ids, *([] if item is None else [item.id])],
            more=more,
        )


def _archived(line: bytes) -> Archived:
    values = values_of(line)
    try:
        return Archived(UUID(values["id"]), values["publication"], values["finished_at"], values["discarded_at"])
    except (KeyError, ValueError, TypeError, AttributeError) as e:
        raise ArchiveDamaged("a task lacks its id or its times") from e


def _damaged(item: TreeItem) -> TaskError:
    return TaskError("archive_damaged", retryable=False, item_id=str(item.id))
