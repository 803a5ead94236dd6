"""solve and reopen: what a person says of a group of failures, with an audit row in the same transaction.

A failure that comes after a group was solved brings it back: the leader notes that when it counts it.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..store import audit
from ..store.audit import Action, Actor
from .committed import Committed

_SOLVE = sa.text("""
UPDATE error_group SET solved_at = now(), solved_by = :by, returned_at = NULL
WHERE id = :id AND (solved_at IS NULL OR returned_at IS NOT NULL)
""")
_REOPEN = sa.text("""
UPDATE error_group SET solved_at = NULL, solved_by = NULL, returned_at = NULL WHERE id = :id AND solved_at IS NOT NULL
""")


def solve(conn: Connection, group_id: UUID, *, by: Actor) -> Committed[None]:
    """A second time changes nothing, unless it came back in between."""
    if conn.execute(_SOLVE, {"id": group_id, "by": by.name}).rowcount:
        audit.record(conn, by, Action.ERROR_SOLVE, str(group_id))
    return Committed(None)


def reopen(conn: Connection, group_id: UUID, *, by: Actor) -> Committed[None]:
    if conn.execute(_REOPEN, {"id": group_id}).rowcount:
        audit.record(conn, by, Action.ERROR_REOPEN, str(group_id))
    return Committed(None)
