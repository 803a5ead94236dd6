"""The walk of an import: rows become records, a chunk at a time, each in one transaction with the position behind it.

Another attempt reads the same rows again, up to the position, and goes on there. Where two attempts run at once (a
claim that was thought lost), each chunk is written by the one that finds the position where it left it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from taskyard import TaskContext, TaskError
from taskyard.domain.errors import Fenced, Unfinished
from taskyard.failpoints import failpoint
from taskyard.store import record_imports, records
from taskyard.store.record_imports import Position
from taskyard.store.records import Written
from taskyard.store.tree_items import owner_seen
from taskyard_kits.record_chunks import Chunk
from taskyard_kits.record_values import Unstorable, checked, key_of

from .columns import typed
from .declarations import FIRST_INVALID, ImportDataParams, ImportDataResult
from .rows import BadRow, Row

CHUNK_ROWS = 1_000
CHUNK_BYTES = 4 * 1024 * 1024


class Import:
    def __init__(self, params: ImportDataParams, context: TaskContext) -> None:
        self._params = params
        self._context = context
        self._owner = owner_seen(context.submitted_by, context.allowed_queues)
        self._counts: dict[str, Any] = {"inserted": 0, "updated": 0, "unchanged": 0, "invalid": 0, "invalid_rows": []}
        self._position = 0
        self._read: tuple[int, int | None] = (0, None)
        self._longest = 0.0

    def tell(self, read: int, total: int) -> None:
        """How many bytes of the file are read."""
        self._read = (read, total)

    def run(self, rows: Iterator[Row | BadRow]) -> None:
        """Raises TaskError, and Unfinished where the soft limit is near."""
        with self._context.db() as conn:
            self._position, counts = record_imports.locked(conn, self._context.task_id)
        self._counts |= counts
        self._refuse_too_many()
        began = time.monotonic()
        for _ in islice(rows, self._position):
            self._context.check_cancelled()
            if self._context.seconds_left < time.monotonic() - began:
                # The next attempt would have to read even more.
                raise TaskError("import_too_long", retryable=False, rows=self._position)
        began = time.monotonic()
        chunk = _Chunk()
        for row in rows:
            self._add(chunk, row)
            if chunk.is_full:
                self._write(chunk)
                chunk = _Chunk()
                self._longest, began = max(self._longest, time.monotonic() - began), time.monotonic()
                self._yield_to_limits()
        self._write(chunk)

    @property
    def result(self) -> ImportDataResult:
        return ImportDataResult(collection=self._params.collection, rows=self._position, **self._counts)

    def _add(self, chunk: _Chunk, row: Row | BadRow) -> None:
        made = typed(row, self._params.columns) if isinstance(row, Row) else row
        if isinstance(made, Row):
            try:
                chunk.add(self._key(made), checked(made.values))
                return
            except Unstorable as e:
                made = BadRow(row.number, e.reason)
        chunk.add_bad(made)

    def _key(self, row: Row) -> str:
        if self._params.key_column is None:
            return f"{self._params.item_id}:{row.number:010}"
        return key_of(row.values.get(self._params.key_column))

    def _write(self, chunk: _Chunk) -> None:
        if not chunk.count:
            return
        failpoint("chunk.before")
        with self._context.db() as conn:
            if record_imports.locked(conn, self._context.task_id).rows != self._position:
                raise Fenced("another attempt imports the same rows")
            written = records.upsert(
                conn, self._params.collection, chunk.records.rows, task_id=self._context.task_id, owner=self._owner
            )
            failpoint("chunk.written")
            self._count(chunk, written)
            record_imports.move(conn, self._context.task_id, Position(self._position, self._counts))
        failpoint("chunk.after")
        read, total = self._read
        current = read if total else self._position
        self._context.progress(current, total, f"Imported rows: {self._position:,}")
        self._refuse_too_many()

    def _count(self, chunk: _Chunk, written: Written) -> None:
        counts = self._counts
        for name, more in chunk.records.counted(written)._asdict().items():
            counts[name] += more
        counts["invalid"] += len(chunk.bad)
        known = counts["invalid_rows"]
        more = chunk.bad[: FIRST_INVALID - len(known)]
        known += [{"row": bad.number, "reason": bad.reason, "column": bad.column} for bad in more]
        self._position += chunk.count

    def _refuse_too_many(self) -> None:
        if self._counts["invalid"] > self._params.max_invalid_rows:
            first = self._counts["invalid_rows"]
            raise TaskError(
                "import_invalid_rows",
                retryable=False,
                count=self._counts["invalid"],
                rows=", ".join(str(bad["row"]) for bad in first),
                reason={"phrase": f"record_{first[0]['reason']}"},
            )

    def _yield_to_limits(self) -> None:
        """The chunk that follows could be cut off: another attempt does it, at no cost."""
        self._context.check_cancelled()
        if self._context.seconds_left < 2 * self._longest:
            raise Unfinished


class _Chunk:
    def __init__(self) -> None:
        self.records = Chunk()
        self.bad: list[BadRow] = []
        self.count = 0

    @property
    def is_full(self) -> bool:
        return self.count >= CHUNK_ROWS or self.records.bytes >= CHUNK_BYTES

    def add(self, key: str, values: dict[str, Any]) -> None:
        self.records.add(key, values)
        self.count += 1

    def add_bad(self, bad: BadRow) -> None:
        self.bad.append(bad)
        self.count += 1
