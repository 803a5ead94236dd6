"""The walk of a sync: page after page, each written in one transaction with the cursor of the next one.

Another attempt, and the next sync, go on with that cursor. While a task reads a source, others wait for it. What a task
counts is in a row of its own, and outlasts what other tasks do with the source.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from taskyard import RateLimited, TaskContext, TaskError
from taskyard.domain.errors import Fenced
from taskyard.failpoints import failpoint
from taskyard.store import record_imports, record_syncs, records
from taskyard.store.record_imports import Position
from taskyard.store.record_syncs import Cursor, Source
from taskyard.store.tree_items import owner_seen

from .declarations import FIRST_INVALID, SyncParams, SyncResult
from .pages import Page

# One task reads so many, then the next sync goes on; and so many without an item, one after another.
MAX_PAGES = 100_000
MAX_EMPTY_PAGES = 100
_BUSY_SECONDS = 60.0

_NONE_YET: dict[str, Any] = {
    **dict.fromkeys(("pages", "records", "inserted", "updated", "unchanged", "invalid", "empty_pages"), 0),
    **dict.fromkeys(("is_done", "complete"), False),
    "invalid_items": [],
}
_ASIDE = ("empty_pages", "is_done")


class State(NamedTuple):
    """`cursor`: of the page to read next, None: the first one. `counts`: what this task has read, as JSON has it."""

    cursor: str | None
    counts: dict[str, Any]

    @property
    def is_done(self) -> bool:
        return bool(self.counts["is_done"])


class Walk:
    """Where a sync is (`at`). `begin` and `write` run in transactions, and return where it is after the commit."""

    def __init__(self, params: SyncParams, context: TaskContext) -> None:
        self._params = params
        self._context = context
        owner = owner_seen(context.submitted_by, context.allowed_queues)
        self._source = Source(params.collection, _name_of(params), owner)
        self._seen: set[bytes] = set()
        self.at = State(None, dict(_NONE_YET))

    def begin(self, conn: Connection) -> State:
        """Raises RateLimited while another task reads the source."""
        found = record_syncs.locked(conn, self._source, self._context.task_id)
        known = record_imports.locked(conn, self._context.task_id).counts
        is_first = not known and self._params.full
        state = State(None if is_first else found.value, {**_NONE_YET, **known})
        if state.is_done:
            return state
        if found.is_held and found.task_id != self._context.task_id:
            raise RateLimited("sync_busy", after=_BUSY_SECONDS)
        self._move(conn, state)
        return state

    def write(self, conn: Connection, page: Page) -> State:
        """Raises TaskError where another task has read the source meanwhile, and Fenced where another attempt has."""
        found = record_syncs.locked(conn, self._source, self._context.task_id)
        if record_imports.locked(conn, self._context.task_id).counts != self.at.counts:
            raise Fenced("another attempt reads the same pages")
        if found.task_id != self._context.task_id:
            raise TaskError("sync_overtaken")
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
        counts = self._counted(page, written._asdict())
        # The last page is read again by the next sync: what is new then stands behind it, or on it.
        state = State(self.at.cursor if page.next is None else page.next, counts)
        self._move(conn, state)
        return state

    def release(self, conn: Connection) -> None:
        """Other tasks need not wait for this one."""
        record_syncs.release(conn, self._source, self._context.task_id)

    def go_on(self, at: State) -> None:
        self.at = at
        records_read = at.counts["records"]
        self._context.progress(records_read, None, f"Records so far: {records_read:,}")

    def refuse_endless(self, page: Page) -> None:
        """Raises TaskError where the page names itself, or one that this attempt has read, as the next one; and where
        too many pages were empty."""
        self._seen.add(_digest(self.at.cursor))
        if page.next is None:
            return
        if _digest(page.next) in self._seen:
            raise TaskError("sync_cursor_repeats", retryable=False, pages=self.at.counts["pages"] + 1)
        if not page.count and self.at.counts["empty_pages"] + 1 >= MAX_EMPTY_PAGES:
            raise TaskError("sync_empty_pages", retryable=False, pages=MAX_EMPTY_PAGES)

    def refuse_invalid(self, page: Page) -> None:
        """Raises TaskError where the page has more invalid items than are left to it."""
        left = self._params.max_invalid_items - self.at.counts["invalid"]
        if len(page.bad) > left:
            number, reason = page.bad[left]
            raise TaskError("sync_item_invalid", retryable=False, number=number, reason={"phrase": f"record_{reason}"})

    @property
    def result(self) -> SyncResult:
        counts = {name: value for name, value in self.at.counts.items() if name not in _ASIDE}
        return SyncResult(collection=self._params.collection, **counts)

    def _counted(self, page: Page, written: dict[str, int]) -> dict[str, Any]:
        counts = dict(self.at.counts)
        for name, more in {"pages": 1, "records": page.count, "invalid": len(page.bad), **written}.items():
            counts[name] += more
        first = page.bad[: FIRST_INVALID - len(counts["invalid_items"])]
        told = [{"page": counts["pages"], "item": number, "reason": reason} for number, reason in first]
        counts["invalid_items"] = [*counts["invalid_items"], *told]
        counts["empty_pages"] = 0 if page.count else counts["empty_pages"] + 1
        counts["complete"] = page.next is None
        is_enough = counts["records"] >= self._params.max_records or counts["pages"] >= MAX_PAGES
        counts["is_done"] = is_enough or page.next is None
        return counts

    def _move(self, conn: Connection, to: State) -> None:
        task_id = self._context.task_id
        record_syncs.move(conn, self._source, Cursor(to.cursor, task_id, to.is_done))
        record_imports.move(conn, task_id, Position(to.counts["records"], to.counts))


def _name_of(params: SyncParams) -> str:
    """Cursors of one way of paging mean nothing to another."""
    told: list[Any] = [str(params.url), params.paging, params.cursor_param, params.cursor_field, params.items_field]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()


def _digest(cursor: str | None) -> bytes:
    return hashlib.sha256(orjson.dumps(cursor)).digest()
