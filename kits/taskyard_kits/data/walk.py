"""The walk of a sync: page after page, each written in one transaction with the cursor of the next one.

Another attempt, and the next sync, go on with that cursor. Where two tasks read the same source at once, each page is
written by the one that finds the cursor where it left it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import Connection

from taskyard import TaskContext, TaskError
from taskyard.domain.errors import Fenced
from taskyard.failpoints import failpoint
from taskyard.store import record_syncs, records
from taskyard.store.record_syncs import Cursor, Source
from taskyard.store.tree_items import owner_seen

from .declarations import SyncParams, SyncResult
from .pages import Page

_NONE_YET = {"pages": 0, "records": 0, "inserted": 0, "updated": 0, "unchanged": 0, "complete": False}


class Walk:
    """Where a sync is: `at` is the cursor of the page to read next. `begin` and `write` run in transactions, and return
    where it is after the commit."""

    def __init__(self, params: SyncParams, context: TaskContext) -> None:
        self._params = params
        self._context = context
        owner = owner_seen(context.submitted_by, context.allowed_queues)
        self._source = Source(params.collection, _name_of(params), owner)
        self._seen: set[bytes] = set()
        self.at = Cursor(None, context.task_id, False, dict(_NONE_YET))

    def begin(self, conn: Connection) -> Cursor:
        found = record_syncs.locked(conn, self._source, self._context.task_id)
        if found.task_id == self._context.task_id:
            return found._replace(counts={**_NONE_YET, **found.counts})
        started = self.at._replace(value=None if self._params.full else found.value)
        record_syncs.move(conn, self._source, started)
        return started

    def write(self, conn: Connection, page: Page) -> Cursor:
        """Raises TaskError where another task has read the source meanwhile, and Fenced where another attempt has."""
        found = record_syncs.locked(conn, self._source, self._context.task_id)
        if found.task_id != self._context.task_id:
            raise TaskError("sync_overtaken")
        if (found.value, found.is_done) != (self.at.value, self.at.is_done):
            raise Fenced("another attempt reads the same pages")
        written = page.records.counted(
            records.upsert(
                conn,
                self._params.collection,
                page.records.rows,
                task_id=self._context.task_id,
                owner=self._source.owner,
            )
        )
        failpoint("chunk.written")
        counts = dict(self.at.counts)
        for name, more in {"pages": 1, "records": page.count, **written._asdict()}.items():
            counts[name] += more
        counts["complete"] = page.next is None
        # The last page is read again by the next sync: what is new then stands behind it, or on it.
        value = self.at.value if page.next is None else page.next
        is_done = page.next is None or counts["records"] >= self._params.max_records
        moved = Cursor(value, self._context.task_id, is_done, counts)
        record_syncs.move(conn, self._source, moved)
        return moved

    def go_on(self, at: Cursor) -> None:
        self.at = at
        records_read = at.counts["records"]
        self._context.progress(records_read, None, f"Records so far: {records_read:,}")

    def refuse_repeated(self, page: Page) -> None:
        """Raises TaskError where the page names itself, or one that this attempt has read, as the next one."""
        self._seen.add(_digest(self.at.value))
        if page.next is not None and _digest(page.next) in self._seen:
            raise TaskError("sync_cursor_repeats", retryable=False, pages=self.at.counts["pages"] + 1)

    @property
    def result(self) -> SyncResult:
        return SyncResult(collection=self._params.collection, **self.at.counts)


def _name_of(params: SyncParams) -> str:
    """Cursors of one way of paging mean nothing to another."""
    told: list[Any] = [str(params.url), params.paging, params.cursor_param, params.cursor_field, params.items_field]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()


def _digest(cursor: str | None) -> bytes:
    return hashlib.sha256(orjson.dumps(cursor)).digest()
