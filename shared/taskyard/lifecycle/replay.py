# ruff: noqa: S608 - statements are put together from fragments in this package; every value is bound
"""replay, discard and restore: dead letters run again, are put away, or are dead letters again, some or many at a time.
Cancelled tasks run again in the same way.

A replay is a retry in single file: the ledger gives each task its own due time, `1 / per_second` apart, behind those of
replays that came before, and promotion does the rest. So the rate holds for all callers together, outlives every
restart, and keeps no process waiting. The audit log records all of it, in the same transaction.

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

from ..domain.tasks import Event, State
from ..store import audit
from ..store.audit import Action, Actor
from ..store.dead_letters import IS_CANCELLED, IS_DEAD, IS_DISCARDED, Wanted, tally, walk
from ..store.persons import ERASED
from .committed import Committed
from .composer import ANSWERED, Verb, along
from .consequences import compose

MOST_AT_ONCE = 1000
# The conditions of a caller's filter, which the audit row repeats.
_CHOSEN_BY = ("name", "queue", "code", "operation_id")
_FILTERS = (*_CHOSEN_BY, "created_after", "created_before", "discarded_after", "discarded_before")


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
_PACED = """, picked AS (
    SELECT t.id FROM task t JOIN chosen c ON c.id = t.id WHERE %s ORDER BY t.id FOR UPDATE OF t
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

# To the operation that makes the change, or to none: by it the change is taken back.
_BELONGS = {"operation_id": "CAST(:operation AS uuid)"}

_REPLAY = Verb(
    name="replay",
    edges=along(Event.REPLAY, out_of={State.FAILED}),
    given=_PACED % IS_DEAD,
    source="task t JOIN slot ON slot.id = t.id",
    locks={
        "due": "slot.due",
        "note": """jsonb_strip_nulls(jsonb_build_object('by', CAST(:actor AS text),
        'due_at', to_char(slot.due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'operation', CAST(:operation AS uuid)))""",
    },
    sets={
        "expires_at": "CASE WHEN t.expires_at <= l.due THEN l.due + CAST(:life AS interval) ELSE t.expires_at END",
        **_BELONGS,
    },
    answer=_ANSWER,
)

# One that was erased with a person could only fail.
_REPLAY_CANCELLED = replace(
    _REPLAY,
    name="replay_cancelled",
    edges=along(Event.REPLAY, out_of={State.CANCELLED}),
    given=_PACED % f"{IS_CANCELLED} AND t.params <> '{ERASED}'",
)

_DISCARD = Verb(
    name="discard",
    edges=along(Event.DISCARD),
    source="task t JOIN chosen c ON c.id = t.id",
    where=IS_DEAD,
    locks={"note": "jsonb_build_object('by', CAST(:actor AS text))"},
    sets={"discarded_at": "now()", **_BELONGS},
    answer=_ANSWER,
)

# One that was erased with a person could only fail again.
_RESTORE = Verb(
    name="restore",
    edges=along(Event.RESTORE),
    source="task t JOIN chosen c ON c.id = t.id",
    where=f"{IS_DISCARDED} AND t.params <> '{ERASED}'",
    locks={"note": "jsonb_build_object('by', CAST(:actor AS text))"},
    sets={"discarded_at": "NULL", **_BELONGS},
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


def replay_cancelled(
    conn: Connection, wanted: Wanted, *, by: Actor, life: timedelta, per_second: float, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The same of cancelled tasks (`Wanted.cancelled`), but those that were erased with a person."""
    values = {"limit": limit, "life": life, "step": timedelta(seconds=1) / per_second}
    return _handle(conn, _REPLAY_CANCELLED, Action.TASKS_RETRY, wanted, by, values)


def discard_dead_letters(
    conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The oldest `limit` of the dead letters that are wanted stay failed and are no dead letters any more."""
    # Live events don't tell it: the state is what it was.
    return Committed(_handle(conn, _DISCARD, Action.DEAD_LETTERS_DISCARD, wanted, by, {"limit": limit}).answer)


def restore_dead_letters(
    conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The oldest `limit` of the discarded ones that are wanted (`Wanted.discarded`) are dead letters again, but those
    that were erased with a person."""
    return Committed(_handle(conn, _RESTORE, Action.DEAD_LETTERS_RESTORE, wanted, by, {"limit": limit}).answer)


# Chosen by the snapshot and looked at again under the lock: a caller that waited for another one leaves alone what that
# one took.
@lru_cache(maxsize=256)
def _statement(verb: Verb, conditions: tuple[str, ...]) -> sa.Executable:
    chosen = f"matched AS ({tally(conditions)}), chosen AS MATERIALIZED ({walk(conditions, 'ASC')})"
    return compose(replace(verb, given=f"{chosen}{verb.given}"))


def _handle(
    conn: Connection, verb: Verb, action: Action, wanted: Wanted, by: Actor, values: dict[str, Any]
) -> Committed[Handled]:
    values |= {"actor": by.name, "operation": by.operation}
    rows = conn.execute(_statement(verb, wanted.conditions(values)), values).all()
    moved = [row for row in rows if row.id is not None]
    handled = Handled(rows[0].matched, [row.id for row in moved])
    if moved:
        told: dict[str, Any] = {"matched": handled.matched, "changed": len(moved), "ids": handled.changed}
        if wanted.ids is None:
            asked = {name: getattr(wanted, name) for name in _FILTERS}
            told["filter"] = {name: value for name, value in asked.items() if value is not None}
        audit.record(conn, by, action, **told)
    return Committed.of_rows(moved, handled)
