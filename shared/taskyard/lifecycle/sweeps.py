# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""The leader's sweep: cancels the steps that a failure, or the cancellation of their workflow, ends.

The statement that ends a step only marks its workflow (steps.py).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .cancel import cancel, cancel_descendants, hold_families
from .committed import Committed, together
from .held_steps import unblock_of
from .steps import STOPS

# Workflows that one turn of the leader sweeps, and steps that one transaction cancels.
MARKED_AT_ONCE = 10
SWEPT_AT_ONCE = 1000

_MARKED = sa.text("SELECT id FROM workflow WHERE swept < marks ORDER BY id LIMIT :limit")
_MARKS = sa.text(f"SELECT w.marks, {STOPS} AS stops FROM workflow w WHERE w.id = :id AND w.swept < w.marks")
_REST = """
SELECT t.id, t.attempt FROM task t WHERE t.workflow_id = :id AND t.finished_at IS NULL
    AND (t.state <> 'running' OR t.cancel_requested_at IS NULL) {among}
ORDER BY t.id LIMIT :limit
"""
# Those that need what did not succeed, and those that need them; what needs an optional step does not.
_IN_VAIN = """
WITH RECURSIVE vain(id) AS (
    SELECT unnest(s.leads_to) FROM task t JOIN workflow_step s ON s.task_id = t.id
    WHERE t.workflow_id = :id AND t.state IN ('failed', 'cancelled') AND NOT s.optional
    UNION SELECT unnest(s.leads_to) FROM vain v JOIN workflow_step s ON s.task_id = v.id WHERE NOT s.optional
)
SELECT t.id, t.attempt FROM vain v JOIN task t ON t.id = v.id WHERE t.state = 'blocked' {among}
ORDER BY t.id LIMIT :limit
"""
# By whether the workflow stops: to be locked, and those of them that are still to be cancelled behind the locks.
_FOUND = {stops: sa.text(sql.format(among="")) for stops, sql in ((True, _REST), (False, _IN_VAIN))}
_LEFT = {stops: sa.text(sql.format(among="AND t.id = ANY(:ids)")) for stops, sql in ((True, _REST), (False, _IN_VAIN))}
_SWEPT = sa.text("UPDATE workflow SET swept = :marks WHERE id = :id AND swept < :marks")


def marked(conn: Connection, *, limit: int = MARKED_AT_ONCE) -> list[UUID]:
    """The first workflows that have steps to cancel."""
    return list(conn.scalars(_MARKED, {"limit": limit}))


def sweep(conn: Connection, workflow_id: UUID, *, limit: int = SWEPT_AT_ONCE) -> Committed[int]:
    """Cancels steps of the workflow that a failure or a cancellation ends; answers how many. In a transaction of the
    leader's for this alone: it locks tasks, and then the workflow.

    What is cancelled is decided behind the locks of the tasks: a retry that was waited for is not undone. A mark that
    is made meanwhile is not lost: what is swept counts up to the marks that were seen.
    """
    named = {"id": workflow_id, "limit": limit}
    flow = conn.execute(_MARKS, named).first()
    if flow is None:
        return Committed(0)
    stops = flow.stops
    found = conn.execute(_FOUND[stops], named).all()
    if found:
        hold_families(conn, [row.id for row in found])
        flow = conn.execute(_MARKS, named).first()
        if flow is None or flow.stops is not stops:
            return Committed(0)  # the next turn sees it anew
    rows = conn.execute(_LEFT[stops], {**named, "ids": [row.id for row in found]}).all()
    parts: list[Committed[Any]] = []
    if rows:
        parts.append(cancel(conn, [row.id for row in rows], actor="workflow"))
        parts.append(cancel_descendants(conn, [row.id for row in rows if row.attempt], actor="workflow"))
    elif not stops:
        # What a failure held that has been undone since, by a retry of the step.
        parts.append(unblock_of(conn, workflow_id))
    # Asked again behind the locks: a step that was waited for may have added others. Now it can add no more.
    if (stops or not rows) and conn.execute(_FOUND[stops], {**named, "limit": 1}).first() is None:
        conn.execute(_SWEPT, {"id": workflow_id, "marks": flow.marks})
    return together(parts, len(rows))
