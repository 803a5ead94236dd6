# ruff: noqa: S608 - statements are put together from fragments in this package; every value is bound
"""replay and discard: what people do with dead letters, some or many at a time.

A replay is a retry in single file: the ledger gives each task its own due time, `1 / per_second` apart, behind those
of replays that came before, and promotion does the rest. So it holds for all callers together, outlives every
restart, and needs nobody to wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Change, State
from ..store import audit
from ..store.audit import Action, Actor
from ..store.dead_letters import IS_DEAD, Wanted, tally, walk
from .retry import FRESH

MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Handled:
    """`matched`: how many there were, with those beyond the limit; `changes`: what was done, oldest first."""

    matched: int
    changes: list[Change]


# Chosen by the snapshot and looked at again under the lock: who waited for another caller leaves alone what that one
# took.
_CHOSEN = f"""
WITH matched AS ({{tally}}), chosen AS MATERIALIZED ({{walk}}), locked AS MATERIALIZED (
    SELECT t.id FROM task t JOIN chosen c ON c.id = t.id WHERE {IS_DEAD} ORDER BY t.id FOR UPDATE OF t
)"""

_FOUND = """
SELECT (SELECT n FROM matched) AS matched, m.* FROM (SELECT) one LEFT JOIN moved m ON true ORDER BY m.id
"""

# `pace.free_at` is when the next replay may go; whoever takes some of that time holds the row until its commit. The
# clock is read behind that lock: now() stood still while it was waited for.
_REPLAY = f"""
, counted AS (
    SELECT count(*) AS n FROM locked
), paced AS (
    INSERT INTO pace AS p (name, free_at)
    SELECT 'replay', clock_timestamp() + n * CAST(:step AS interval) FROM counted WHERE n > 0
    ON CONFLICT (name) DO UPDATE SET free_at =
        greatest(p.free_at, clock_timestamp()) + (SELECT n FROM counted) * CAST(:step AS interval)
    RETURNING p.free_at
), slots AS MATERIALIZED (
    SELECT l.id, p.free_at - (c.n + 1 - row_number() OVER (ORDER BY l.id)) * CAST(:step AS interval) AS at
    FROM locked l, counted c, paced p
), moved AS (
    UPDATE task t SET state = 'scheduled', run_at = s.at, due_at = s.at, {FRESH},
        expires_at = CASE WHEN t.expires_at <= s.at THEN s.at + CAST(:life AS interval) ELSE t.expires_at END
    FROM slots s WHERE t.id = s.id
    RETURNING t.id, t.name, t.queue, t.state, t.attempt, t.workflow_id, t.run_at
), told AS (
    INSERT INTO task_event (task_id, attempt, kind, data)
    SELECT id, attempt, 'retried', jsonb_build_object('by', CAST(:actor AS text),
        'due_at', to_char(run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    FROM moved ORDER BY id
), reset AS (
    DELETE FROM task_progress p USING moved m WHERE p.task_id = m.id
)"""

_DISCARD = """
, moved AS (
    UPDATE task t SET discarded_at = now() FROM locked l WHERE t.id = l.id
    RETURNING t.id, t.name, t.queue, t.state, t.attempt, t.workflow_id
), told AS (
    INSERT INTO task_event (task_id, attempt, kind, data)
    SELECT id, attempt, 'discarded', jsonb_build_object('by', CAST(:actor AS text)) FROM moved ORDER BY id
)"""


def replay(
    conn: Connection,
    wanted: Wanted,
    *,
    by: Actor,
    life: timedelta,
    per_second: float,
    limit: int = MOST_AT_ONCE,
) -> Handled:
    """The oldest `limit` of the dead letters that are wanted run again, at most `per_second` of all replays, with fresh
    budgets. An `expires_at` that would have passed is moved to `life` behind the due time. `conn` must be in a
    transaction: the audit log has its row in it.
    """
    more = {"life": life, "step": timedelta(seconds=1) / per_second}
    return _handle(conn, _REPLAY, wanted, by, Action.DEAD_LETTERS_RETRY, limit, more)


def discard(conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE) -> Handled:
    """The oldest `limit` of the dead letters that are wanted stay failed and are no dead letters any more. `conn` must
    be in a transaction: the audit log has its row in it.
    """
    return _handle(conn, _DISCARD, wanted, by, Action.DEAD_LETTERS_DISCARD, limit, {})


def _handle(
    conn: Connection, verb: str, wanted: Wanted, by: Actor, action: Action, limit: int, more: dict[str, Any]
) -> Handled:
    values: dict[str, Any] = {"limit": limit, "actor": by.name, **more}
    rows = conn.execute(_statement(verb, wanted.conditions(values)), values).all()
    changes = [Change(r.id, r.name, r.queue, State(r.state), r.attempt, r.workflow_id) for r in rows if r.id]
    handled = Handled(rows[0].matched, changes)
    if changes:
        told = {"matched": handled.matched, "changed": len(changes), "ids": [change.task_id for change in changes]}
        audit.record(conn, by, action, **({} if wanted.ids is not None else {"filter": _filter(wanted)}), **told)
    return handled


@lru_cache(maxsize=256)
def _statement(verb: str, conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(_CHOSEN.format(tally=tally(conditions), walk=walk(conditions, "ASC")) + verb + _FOUND)


def _filter(wanted: Wanted) -> dict[str, str | datetime]:
    """As the caller gave it."""
    asked = {
        "name": wanted.name,
        "queue": wanted.queue,
        "code": wanted.code,
        "created_after": wanted.created_after,
        "created_before": wanted.created_before,
    }
    return {key: value for key, value in asked.items() if value is not None}
