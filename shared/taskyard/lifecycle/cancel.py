"""cancel: what waits ends on the spot; what runs gets a request that outlives every restart.

Tasks that a cancelled task submitted follow it, and theirs too, unless it was submitted with
`on_cancel: leave_children`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import FINAL, Change, State


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`before` is the state that was found; a final one was left as it is. `change.state` is the state now.
    `is_repeated`: somebody had asked for it before.
    """

    change: Change
    before: State
    is_repeated: bool = False


# What the checks of the table look at (state, claim, due_at, finished_at) all comes from the locked row: PostgreSQL
# first tries them on the row as the statement's snapshot has it, and a cancel that waited for a claim would mix the
# two.
_CANCEL = sa.text("""
WITH locked AS (
    SELECT id, name, queue, attempt, workflow_id, claim, state AS before, cancel_requested_at IS NULL AS is_first
    FROM task WHERE id = ANY(:ids) ORDER BY id FOR UPDATE
), ended AS (
    UPDATE task t SET
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        state = CASE WHEN l.before = 'running' THEN 'running' ELSE 'cancelled' END,
        claim = CASE WHEN l.before = 'running' THEN l.claim END,
        due_at = NULL,
        finished_at = CASE WHEN l.before = 'running' THEN NULL ELSE now() END
    FROM locked l WHERE t.id = l.id AND l.before NOT IN ('succeeded','failed','cancelled')
    RETURNING t.id, t.attempt, t.state, l.is_first
), told AS (
    INSERT INTO task_event (task_id, attempt, kind, data)
    SELECT id, attempt, CASE WHEN state = 'running' THEN 'cancel_requested' ELSE 'cancelled' END,
        jsonb_strip_nulls(jsonb_build_object('by', CAST(:actor AS text), 'follows', CAST(:follows AS uuid)))
    FROM ended WHERE is_first OR state = 'cancelled' ORDER BY id
), freed AS (
    DELETE FROM unique_key u USING ended e WHERE u.task_id = e.id AND e.state = 'cancelled'
)
SELECT l.id, l.name, l.queue, coalesce(e.state, l.before) AS state, l.attempt, l.workflow_id, l.before, l.is_first
FROM locked l LEFT JOIN ended e ON e.id = l.id ORDER BY l.id
""")

# Through children that have ended, too: what they submitted may still be under way.
_CHILDREN = sa.text("""
SELECT c.id FROM task c JOIN task p ON p.id = c.parent_id
WHERE p.id = ANY(:ids) AND p.on_cancel = 'cancel_children' ORDER BY c.id
""")
_PAGE = 1000


def cancel(
    conn: Connection, ids: Sequence[UUID], *, actor: str | None = None, follows: UUID | None = None
) -> list[Cancellation]:
    """Cancels what waits, marks what runs, leaves what is final; ids that don't exist are missing in the
    answer. `follows` is the task whose cancellation brought this one about.
    """
    rows = conn.execute(_CANCEL, {"ids": list(ids), "actor": actor, "follows": follows})
    return [
        Cancellation(
            Change(r.id, r.name, r.queue, State(r.state), r.attempt, r.workflow_id), State(r.before), not r.is_first
        )
        for r in rows
    ]


def cancel_descendants(conn: Connection, task_id: UUID, *, actor: str | None = None) -> list[Change]:
    """Cancels what the task submitted, and what that submitted, as far as `on_cancel` goes; returns what changed.

    In the transaction that cancelled the task itself, after that: the lock on its row, which a submit of a
    child needs, lets every child be seen here or refused there.
    """
    changed: list[Change] = []
    seen = {task_id}
    level = [task_id]
    while level:
        children = [i for i in conn.scalars(_CHILDREN, {"ids": level}) if i not in seen]
        for start in range(0, len(children), _PAGE):
            found = cancel(conn, children[start : start + _PAGE], actor=actor, follows=task_id)
            changed += [c.change for c in found if c.before not in FINAL]
        seen.update(children)
        level = children
    return changed
