"""How far synchronisations are: the cursor of the page to read next, written with the records of the page before.

`owner` below: as `tree_items.owner_seen` says it.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from .records import space_of
from .tables.records import record_sync


class Source(NamedTuple):
    """Where records come from (`name`: any text of fixed length), and into which collection they go."""

    collection: str
    name: str
    owner: str | None = None


class Cursor(NamedTuple):
    """`value` None: the first page. `counts` is what the task `task_id` counted on the way, as JSON has it; `is_done`:
    it has read all."""

    value: str | None
    task_id: UUID
    is_done: bool
    counts: dict[str, Any]


def locked(conn: Connection, source: Source, task_id: UUID) -> Cursor:
    """Where the source is read next; of two tasks that move it meanwhile, one waits for the other. `task_id`: whose it
    is where none has read it before."""
    new = {"owner": space_of(source.owner), "collection": source.collection, "source": source.name, "task_id": task_id}
    conn.execute(postgresql.insert(record_sync).values(new).on_conflict_do_nothing())
    columns = (record_sync.c.cursor, record_sync.c.task_id, record_sync.c.is_done, record_sync.c.counts)
    return Cursor(*conn.execute(sa.select(*columns).where(*_row(source)).with_for_update()).one())


def move(conn: Connection, source: Source, to: Cursor) -> None:
    moved = {
        "cursor": to.value,
        "task_id": to.task_id,
        "is_done": to.is_done,
        "counts": to.counts,
        "moved_at": sa.func.now(),
    }
    conn.execute(sa.update(record_sync).where(*_row(source)).values(moved))


def _row(source: Source) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        record_sync.c.owner == space_of(source.owner),
        record_sync.c.collection == source.collection,
        record_sync.c.source == source.name,
    )
