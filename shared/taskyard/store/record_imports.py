"""How far the tasks are that write records: a position and what became of the rows before it, written with the rows
themselves."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from .tables.records import record_import

# For so many days, a task that runs again goes on behind what it has written.
IMPORTS_KEPT_DAYS = 30


class Position(NamedTuple):
    """`rows` are done; `counts` is what the task counted on the way, as JSON has it."""

    rows: int
    counts: dict[str, Any]


def locked(conn: Connection, task_id: UUID) -> Position:
    """Where the task is; of another attempt that moves it meanwhile, one waits for the other."""
    conn.execute(postgresql.insert(record_import).values(task_id=task_id).on_conflict_do_nothing())
    columns = (record_import.c.position, record_import.c.counts)
    found = sa.select(*columns).where(record_import.c.task_id == task_id).with_for_update()
    return Position(*conn.execute(found).one())


def move(conn: Connection, task_id: UUID, to: Position) -> None:
    moved = {"position": to.rows, "counts": to.counts, "moved_at": sa.func.now()}
    conn.execute(sa.update(record_import).where(record_import.c.task_id == task_id).values(moved))
