# ruff: noqa: S608 - statements are put together from fragments in this package; every value is bound
"""replay and discard: dead letters run again, or are put away, some or many at a time.

A replay is a retry in single file: the ledger gives each task its own due time, `1 / per_second` apart, behind those of
replays that came before, and promotion does the rest. So the rate holds for all callers together, outlives every
restart, and keeps no process waiting. The audit log records both, in the same transaction.

It is the same task: version, parameters and the submitter's queues stay as they were admitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Event
from ..store import audit
from ..store.audit import Action, Actor
from ..store.dead_letters import IS_DEAD, Wanted, tally, walk
from .committed import Committed
from .composer import ANSWERED, Verb, along
from .consequences import compose

MOST_AT_ONCE = 1000
# The conditions of a caller's filter, which the audit row repeats.
_FILTERS = ("name", "queue", "code", "created_after", "created_before")


@dataclass(frozen=True, slots=True)
class Handled:
    """`matched`: how many dead letters were wanted, with those beyond the limit; `changed`: those that moved."""

    matched: int
    changed: list[UUID]


_ANSWER = f"""
SELECT {", ".join(f"m.{column}" for column in ANSWERED)}, m.event, NULL AS outbox_id, (SELECT n FROM matched) AS matched
FROM (SELECT) one LEFT JOIN moved m ON true ORDER BY m.id"""

# Each of them gets a time of its own, `step` apart and the oldest first, before the time at which the next replay may
# go: `pace.free_at`. Its row is held until the commit. The clock is read behind that lock: now() stood still while it
# was waited for.
_PACED = f""", picked AS (
    SELECT t.id FROM task t JOIN chosen c ON c.id = t.id WHERE {IS_DEAD} ORDER BY t.id FOR UPDATE OF t
), counted AS (
    SELECT count(*) AS n FROM picked
), paced AS (
    INSERT INTO pace AS p (name, free_at)
    SELECT 'replay', clock_timestamp() + n * CAST(:step AS interval) FROM counted WHERE n > 0
    ON CONFLICT (name) DO UPDATE SET free_at =
        greatest(p.free_at, clock_timestamp()) + (SELECT n FROM counted) * CAST(:step AS interval)
    RETURNING p.free_at
), slot AS (
    SELECT id, free_at - (n + 1 - row_number() OVER (ORDER BY id)) * CAST(:step AS interval) AS due
    FROM picked, counted, paced
)"""

_REPLAY = Verb(
    name="replay",
    edges=along(Event.REPLAY),
    given=_PACED,
    source="task t JOIN slot ON slot.id = t.id",
    locks={
        "due": "slot.due",
        "note": """jsonb_build_object('by', CAST(:actor AS text),
        'due_at', to_char(slot.due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))""",
    },
    sets={
        "expires_at": "CASE WHEN t.expires_at <= l.due THEN l.due + CAST(:life AS interval) ELSE t.expires_at END",
    },
    answer=_ANSWER,
)

_DISCARD = Verb(
    name="discard",
    edges=along(Event.DISCARD),
    source="task t JOIN chosen c ON c.id = t.id",
    where=IS_DEAD,
    locks={"note": "jsonb_build_object('by', CAST(:actor AS text))"},
    sets={"discarded_at": "now()"},
    answer=_ANSWER,
)


def replay_dead_letters(
    conn: Connection, wanted: Wanted, *, by: Actor, life: timedelta, per_second: float, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The oldest `limit` of the dead letters that are wanted run again, at most `per_second` of all replays, with fresh
    budgets. An `expires_at` that would have passed is moved to `life` behind the due time.
    """
    values = {"limit": limit, "life": life, "step": timedelta(seconds=1) / per_second}
    return _handle(conn, _REPLAY, Action.DEAD_LETTERS_RETRY, wanted, by, values)


def discard_dead_letters(
    conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The oldest `limit` of the dead letters that are wanted stay failed and are no dead letters any more."""
    # Live events don't tell it: the state is what it was.
    return Committed(_handle(conn, _DISCARD, Action.DEAD_LETTERS_DISCARD, wanted, by, {"limit": limit}).answer)


# Chosen by the snapshot and looked at again under the lock: a caller that waited for another one leaves alone what that
# one took.
@lru_cache(maxsize=256)
def _statement(verb: Verb, conditions: tuple[str, ...]) -> sa.Executable:
    chosen = f"matched AS ({tally(conditions)}), chosen AS MATERIALIZED ({walk(conditions, 'ASC')})"
    return compose(replace(verb, given=f"{chosen}{verb.given}"))


def _handle(
    conn: Connection, verb: Verb, action: Action, wanted: Wanted, by: Actor, values: dict[str, Any]
) -> Committed[Handled]:
    rows = conn.execute(_statement(verb, wanted.conditions(values)), {**values, "actor": by.name}).all()
    moved = [row for row in rows if row.id is not None]
    handled = Handled(rows[0].matched, [row.id for row in moved])
    if moved:
        told: dict[str, Any] = {"matched": handled.matched, "changed": len(moved), "ids": handled.changed}
        if wanted.ids is None:
            asked = {name: getattr(wanted, name) for name in _FILTERS}
            told["filter"] = {name: value for name, value in asked.items() if value is not None}
        audit.record(conn, by, action, **told)
    return Committed.of_rows(moved, handled)
