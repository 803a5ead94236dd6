"""How far synchronisations are: the cursor of the page to read next, written with the records of the page before.

`owner` below: as `tree_items.owner_seen` says it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from .records import space_of
from .tables.records import record_sync

# So long a source is left to a task that has not moved it: longer than a page may take, with its pauses.
HELD = timedelta(minutes=10)
# After so many days without a sync of its source, a cursor is forgotten.
SYNCS_KEPT_DAYS = 400


class Source(NamedTuple):
    """Where records come from (`name`: any text of fixed length), and into which collection they go."""

    collection: str
    name: str
    owner: str | None = None


class Cursor(NamedTuple):
    """`value` None: the first page. `is_done`: the task `task_id` does not read on from there."""

    value: str | None
    task_id: UUID
    is_done: bool


class Found(NamedTuple):
    """`is_held`: that task reads on, or died less than `HELD` ago."""

    value: str | None
    task_id: UUID
    is_held: bool


def locked(conn: Connection, source: Source, task_id: UUID) -> Found:
    """Where the source is read next; of two tasks that move it meanwhile, one waits for the other. `task_id`: whose it
    is where none has read it before."""
    new = {"owner": space_of(source.owner), "collection": source.collection, "source": source.name, "task_id": task_id}
    conn.execute(postgresql.insert(record_sync).values(new).on_conflict_do_nothing())
    is_held = ~record_sync.c.is_done & (record_sync.c.moved_at > sa.func.clock_timestamp() - HELD)
    columns = (record_sync.c.cursor, record_sync.c.task_id, is_held)
    return Found(*conn.execute(sa.select(*columns).where(*_row(source)).with_for_update()).one())


def move(conn: Connection, source: Source, to: Cursor) -> None:
    moved = {"cursor": to.value, "task_id": to.task_id, "is_done": to.is_done, "moved_at": sa.func.now()}
    conn.execute(sa.update(record_sync).where(*_row(source)).values(moved))


def release(conn: Connection, source: Source, task_id: UUID) -> None:
    """Other tasks may read the source at once, where this one is the last that did."""
    mine = sa.update(record_sync).where(*_row(source), record_sync.c.task_id == task_id)
    conn.execute(mine.values(is_done=True))


def _row(source: Source) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        record_sync.c.owner == space_of(source.owner),
        record_sync.c.collection == source.collection,
        record_sync.c.source == source.name,
    )
