"""Blocked steps whose needs are met and that nothing holds any more: unblocked by the leader.

An end unblocks what it leads to in its own statement (steps.py). Left are steps that a failure held which a person has
undone by running the failed step again, and whatever a fault of this program or a hand in the tables leaves behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .committed import Committed, together
from .consequences import compose
from .steps import STOPS, UNBLOCK

# So many blocked steps are looked at in one turn of the leader.
PAGE = 200
_FIRST = UUID(int=0)

_UNBLOCK = compose(
    replace(
        UNBLOCK,
        name="unblock_held",
        source="task t JOIN workflow_step x ON x.task_id = t.id JOIN workflow w ON w.id = x.workflow_id",
        where=f"t.id = ANY(:ids) AND x.pending_needs = 0 AND w.state = 'running' AND NOT {STOPS}",
        is_guarded_late=False,
    )
)
_LOCK = sa.text("SELECT FROM task WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_OF_WORKFLOW = sa.text("""
SELECT t.id FROM task t JOIN workflow_step s ON s.task_id = t.id
WHERE t.workflow_id = :id AND t.state = 'blocked' AND s.pending_needs = 0
""")
_BLOCKED = sa.text("""
SELECT t.id, s.pending_needs FROM task t LEFT JOIN workflow_step s ON s.task_id = t.id
WHERE t.state = 'blocked' AND t.id > :after ORDER BY t.id LIMIT :limit
""")


def unblock_of(conn: Connection, workflow_id: UUID) -> Committed[int]:
    """Those of one workflow; answers how many. In a transaction of the caller's."""
    return _unblock(conn, list(conn.scalars(_OF_WORKFLOW, {"id": workflow_id})))


def recheck(conn: Connection, after: UUID | None, *, limit: int = PAGE) -> Committed[UUID | None]:
    """Those of the next `limit` blocked steps behind the id `after`; answers where to go on, None: from the
    beginning. In a transaction of the caller's."""
    rows = conn.execute(_BLOCKED, {"after": after or _FIRST, "limit": limit}).all()
    done = _unblock(conn, [row.id for row in rows if row.pending_needs == 0])
    return together([done], rows[-1].id if len(rows) == limit else None)


def _unblock(conn: Connection, ids: Sequence[UUID]) -> Committed[int]:
    if not ids:
        return Committed(0)
    # Locked by a statement of its own, so that the next one sees what a retry has written that was waited for.
    conn.execute(_LOCK, {"ids": list(ids)})
    rows = conn.execute(_UNBLOCK, {"ids": list(ids)}).all()
    return Committed.of_rows(rows, len(rows))
