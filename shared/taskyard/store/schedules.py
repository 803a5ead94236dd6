# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Schedules and their fires, as rows. What changes of a schedule mean is said in `taskyard.schedules.changes`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert as insert_

from .reads import seen
from .tables.schedules import schedule as table

SUBMITTED = "submitted"
# Why a due time has no task: in `schedule_fire.outcome`.
MISFIRED, COALESCED, TOO_OLD = "misfired", "coalesced", "too_old"
OVERLAP, NO_LIVE_WORKER, UNUSABLE = "overlap", "no_live_worker", "unusable"
OUTCOMES = (SUBMITTED, MISFIRED, COALESCED, TOO_OLD, OVERLAP, NO_LIVE_WORKER, UNUSABLE)
# A due time that a later one makes up for is no trouble, nor is one that is skipped as people chose.
_WELL = (SUBMITTED, COALESCED, OVERLAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The columns of the table have comments. `task` is a `NewTask` without what differs at each due time."""

    id: UUID
    name: str
    task: Mapping[str, Any]
    task_bytes: int
    task_name: str
    queue: str
    trigger: Mapping[str, Any]
    anchored_at: datetime
    start_at: datetime | None
    end_at: datetime | None
    jitter_seconds: float
    misfire: str
    catch_up_seconds: float
    overlap: str
    enabled: bool
    source: str | None
    created_by: str | None
    version: int
    created_at: datetime
    changed_at: datetime
    next_due_at: datetime | None
    fires_at: datetime | None
    last_due_at: datetime | None
    last_task_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """What became of a due time, or of all from `due_at` to `until`. `task_state`: as it is read; None also where the
    task is gone, or not to be seen."""

    schedule_id: UUID
    due_at: datetime
    until: datetime | None = None
    outcome: str
    task_id: UUID | None = None
    by_hand: bool = False
    fired_at: datetime | None = None
    task_state: str | None = None


# For each `queues` below: those whose schedules are meant; None: all.


def now(conn: Connection) -> datetime:
    """PostgreSQL's, at which the transaction began."""
    found: datetime = conn.execute(sa.select(sa.func.now())).scalar_one()
    return found


def insert(conn: Connection, values: Mapping[str, Any]) -> Schedule | None:
    """None where one has that name."""
    return _first(conn, insert_(table).values(values).on_conflict_do_nothing(index_elements=["name"]).returning(table))


def get(
    conn: Connection, schedule_id: UUID, *, queues: Collection[str] | None = None, lock: bool = False
) -> Schedule | None:
    """`lock`: until the end of the transaction nobody else changes or fires it."""
    statement = sa.select(table).where(table.c.id == schedule_id, _in_queues(queues))
    return _first(conn, statement.with_for_update() if lock else statement)


def by_names(conn: Connection, names: Sequence[str], *, lock: bool = False) -> dict[str, Schedule]:
    statement = sa.select(table).where(table.c.name.in_(names)).order_by(table.c.id)
    found = conn.execute(statement.with_for_update() if lock else statement)
    return {one.name: one for one in map(_schedule, found)}


def of_source(conn: Connection, source: str) -> list[Schedule]:
    return [_schedule(row) for row in conn.execute(sa.select(table).where(table.c.source == source))]


def page(
    conn: Connection,
    *,
    limit: int,
    before: UUID | None = None,
    queues: Collection[str] | None = None,
    name: str | None = None,
    task_name: str | None = None,
    enabled: bool | None = None,
    troubled: bool | None = None,
) -> list[Schedule]:
    """Up to `limit` schedules, newest first, with ids below `before`. `troubled`: whether the last due time has no
    task that went well or still may; a dead letter that was discarded has been dealt with."""
    statement = sa.select(table).where(_in_queues(queues)).order_by(table.c.id.desc()).limit(limit)
    given = {table.c.name: name, table.c.task_name: task_name, table.c.enabled: enabled}
    statement = statement.where(*(column == value for column, value in given.items() if value is not None))
    if troubled is not None:
        statement = statement.where(_IN_TROUBLE.bindparams(troubled=troubled, well=list(_WELL), seen=seen(queues)))
    if before is not None:
        statement = statement.where(table.c.id < before)
    return [_schedule(row) for row in conn.execute(statement)]


def change(conn: Connection, schedule_id: UUID, version: int, values: Mapping[str, Any]) -> Schedule | None:
    """None where this is not its version any more. Raises IntegrityError where another one has the new name."""
    chosen = sa.update(table).where(table.c.id == schedule_id, table.c.version == version)
    changed = chosen.values({**values, "version": version + 1, "changed_at": sa.func.now()})
    return _first(conn, changed.returning(table))


def delete(conn: Connection, schedule_id: UUID, version: int) -> Schedule | None:
    """What was removed; None where this is not its version any more. Its fires stay until retention takes them."""
    chosen = sa.delete(table).where(table.c.id == schedule_id, table.c.version == version)
    return _first(conn, chosen.returning(table))


def is_running(conn: Connection, task_id: UUID | None) -> bool:
    """Whether the task has not ended yet."""
    if task_id is None:
        return False
    ended = sa.text("SELECT FROM task WHERE id = :id AND finished_at IS NULL")
    return conn.execute(ended, {"id": task_id}).first() is not None


_TASK = "LEFT JOIN task t ON t.id = f.task_id AND (CAST(:seen AS text[]) IS NULL OR t.queue = ANY(:seen))"
_FIRES = sa.text(f"""
SELECT f.*, t.state AS task_state FROM (
    SELECT * FROM schedule_fire
    WHERE schedule_id = :id AND (CAST(:before AS timestamptz) IS NULL OR due_at < :before)
    ORDER BY due_at DESC LIMIT :limit
) f {_TASK} ORDER BY f.due_at DESC
""")
_LAST_FIRES = sa.text(f"""
SELECT f.*, t.state AS task_state
FROM unnest(CAST(:ids AS uuid[])) s(id) CROSS JOIN LATERAL (
    SELECT * FROM schedule_fire WHERE schedule_id = s.id ORDER BY due_at DESC LIMIT 1
) f {_TASK}
""")
_IN_TROUBLE = sa.text(f"""
:troubled = EXISTS (
    SELECT FROM (SELECT * FROM schedule_fire WHERE schedule_id = schedule.id ORDER BY due_at DESC LIMIT 1) f {_TASK}
    WHERE f.outcome <> ALL(:well) OR (t.state = 'failed' AND t.discarded_at IS NULL)
)
""")


def fires_page(
    conn: Connection,
    schedule_id: UUID,
    *,
    limit: int,
    before: datetime | None = None,
    queues: Collection[str] | None = None,
) -> list[Fire]:
    """Up to `limit` fires, the latest due time first, due earlier than `before`."""
    values = {"id": schedule_id, "before": before, "limit": limit, "seen": seen(queues)}
    return [Fire(**row._mapping) for row in conn.execute(_FIRES, values)]


def last_fires(
    conn: Connection, schedule_ids: Sequence[UUID], *, queues: Collection[str] | None = None
) -> dict[UUID, Fire]:
    """Of each schedule the fire that was due last, where there is one."""
    rows = conn.execute(_LAST_FIRES, {"ids": list(schedule_ids), "seen": seen(queues)})
    return {row.schedule_id: Fire(**row._mapping) for row in rows}


def _in_queues(queues: Collection[str] | None) -> sa.ColumnElement[bool]:
    return sa.true() if queues is None else table.c.queue.in_(sorted(queues))


def _first(conn: Connection, statement: sa.Executable) -> Schedule | None:
    row = conn.execute(statement).first()
    return None if row is None else _schedule(row)


def _schedule(row: Any) -> Schedule:
    return Schedule(**row._mapping)
