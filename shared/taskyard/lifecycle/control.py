"""control: workers are asked to drain, to replace their children, or to keep another number of them.

What is asked is a column of the worker's row, so that it outlives an outage of Redis: the supervisor reads it with each
heartbeat, and at once where Redis brings the hint. The audit log records it, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.processes import ProcessRange
from ..store import audit
from ..store.audit import Action, Actor
from .committed import Committed

_ASK = """
WITH locked AS (
    SELECT id, drain_asked_at FROM worker
    WHERE id = ANY(:ids) AND lost_at IS NULL AND stopped_at IS NULL AND beat_at > now() - CAST(:lease AS interval)
        {unless}
    ORDER BY id FOR UPDATE
)
UPDATE worker w SET {sets} FROM locked l WHERE w.id = l.id
RETURNING w.id, w.name, l.drain_asked_at IS NOT NULL AS drains_already
"""
_STAYS = "AND state <> 'draining'"

_DRAIN = sa.text(_ASK.format(unless="", sets="drain_asked_at = coalesce(w.drain_asked_at, now()), state = 'draining'"))
# The time tells one restart from the next. Under the lock, it is later than that of any restart which the worker has
# read; the start of the transaction may not be.
_RESTART = sa.text(_ASK.format(unless=_STAYS, sets="restart_asked_at = clock_timestamp()"))
_RESIZE = sa.text(_ASK.format(unless=_STAYS, sets="processes_asked = :processes"))


def drain(conn: Connection, ids: Sequence[UUID], *, by: Actor, lease: timedelta) -> Committed[list[UUID]]:
    """They take no more tasks, finish what they have, and stop. Answers which of them live, as the others do; asking
    again changes nothing."""
    return _ask(conn, _DRAIN, ids, Action.WORKER_DRAIN, by, lease)


def restart(conn: Connection, ids: Sequence[UUID], *, by: Actor, lease: timedelta) -> Committed[list[UUID]]:
    """Their children are replaced, one after the other. Not those of a worker that drains."""
    return _ask(conn, _RESTART, ids, Action.WORKER_RESTART, by, lease)


def resize(
    conn: Connection, ids: Sequence[UUID], processes: ProcessRange, *, by: Actor, lease: timedelta
) -> Committed[list[UUID]]:
    """They keep so many children until they end. Not a worker that drains."""
    return _ask(conn, _RESIZE, ids, Action.WORKER_RESIZE, by, lease, processes=str(processes))


def _ask(
    conn: Connection,
    statement: sa.TextClause,
    ids: Sequence[UUID],
    action: Action,
    by: Actor,
    lease: timedelta,
    **details: Any,
) -> Committed[list[UUID]]:
    asked = conn.execute(statement, {"ids": list(ids), "lease": lease, **details}).all()
    for row in asked:
        if not (action is Action.WORKER_DRAIN and row.drains_already):
            audit.record(conn, by, action, row.id, name=row.name, **details)
    won = [row.id for row in asked]
    return Committed(won, workers=won)
