"""pause, resume and limit: what a person sets on a queue. Workers obey the row; the audit log records the change in the
same transaction.

A paused queue takes submits, and its tasks become due; no worker claims one (`claim.CONDITIONS`). What runs goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from ..store import audit
from ..store.audit import Action, Actor
from . import limits
from .committed import Committed, together

_PAUSE = sa.text("UPDATE queue SET paused_at = now() WHERE name = :name AND paused_at IS NULL")
_RESUME = sa.text("""
UPDATE queue q SET paused_at = NULL FROM (SELECT name, paused_at FROM queue WHERE name = :name FOR UPDATE) before
WHERE q.name = before.name AND before.paused_at IS NOT NULL RETURNING before.paused_at
""")
_FOUND = sa.text("SELECT concurrent, per_second FROM queue WHERE name = :name FOR UPDATE")
_LIMIT = sa.text("UPDATE queue SET concurrent = :concurrent, per_second = :per_second WHERE name = :name")


def pause(conn: Connection, name: str, *, by: Actor) -> Committed[None]:
    """Its waiting tasks are not claimed any more. A second pause changes nothing."""
    if conn.execute(_PAUSE, {"name": name}).rowcount:
        audit.record(conn, by, Action.QUEUE_PAUSE, name)
        return _stopped(conn, name)
    return Committed(None)


def resume(conn: Connection, name: str, *, by: Actor) -> Committed[None]:
    """Its tasks are claimed again. The workers are told, also where it was not paused: whoever asks again wants them to
    look."""
    paused_at = conn.scalar(_RESUME, {"name": name})
    if paused_at is not None:
        audit.record(conn, by, Action.QUEUE_RESUME, name, paused_at=paused_at)
    return together([Committed(None, resumed=[name]), limits.changed(conn, name)], None)


def limit(conn: Connection, name: str, given: Mapping[str, float | None], *, by: Actor) -> Committed[None]:
    """Sets those of `concurrent` and `per_second` that are given; None removes a limit."""
    found = conn.execute(_FOUND, {"name": name}).mappings().first()
    if found is None or {**found, **given} == found:
        return Committed(None)
    conn.execute(_LIMIT, {"name": name, **found, **given})
    audit.record(conn, by, Action.QUEUE_LIMIT, name, before=dict(found), after={**found, **given})
    return _stopped(conn, name)


def recall(name: str) -> Committed[None]:
    """Workers are told to give back what they have claimed in it and not begun."""
    return Committed(None, recalled=[name])


def _stopped(conn: Connection, name: str) -> Committed[None]:
    """Grants that no worker has claimed are taken back, and claims that have not begun."""
    return together([recall(name), limits.changed(conn, name)], None)
