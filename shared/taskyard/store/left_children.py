# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Children that the cancellation of their parent left: too many for its transaction, they follow in others.

Each such parent is a row. What it submitted after its cancellation, as one that was retried does, is not meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

# Parents that one transaction takes children of.
_PARENTS = 50

# The clock is read behind the locks of the parents, which a submit of a child waits for: now() stood still meanwhile.
_LEAVE = sa.text(f"""
INSERT INTO left_children AS l (root_id, parent_id, after_id, cancelled_at)
SELECT given.root, given.id, '{UUID(int=0)}', clock_timestamp()
FROM unnest(CAST(:parents AS uuid[]), CAST(:roots AS uuid[])) given(id, root) JOIN task t ON t.id = given.id
WHERE t.on_cancel = 'cancel_children' AND EXISTS (SELECT FROM task c WHERE c.parent_id = t.id)
ON CONFLICT (root_id, parent_id) DO UPDATE SET after_id = excluded.after_id, cancelled_at = excluded.cancelled_at
""")
_ANY = sa.text("SELECT EXISTS (SELECT FROM left_children)")
_TAKE = sa.text(f"""
WITH parent AS MATERIALIZED (
    SELECT root_id, parent_id, after_id, cancelled_at FROM left_children
    ORDER BY root_id, parent_id LIMIT {_PARENTS} FOR UPDATE
)
SELECT p.root_id, p.parent_id, c.id FROM parent p LEFT JOIN LATERAL (
    SELECT t.id FROM task t WHERE t.parent_id = p.parent_id AND t.id > p.after_id AND t.created_at <= p.cancelled_at
    ORDER BY t.parent_id, t.id LIMIT :limit
) c ON true ORDER BY p.root_id, p.parent_id, c.id LIMIT :limit
""")
_GO_ON = sa.text("UPDATE left_children SET after_id = :id WHERE root_id = :root_id AND parent_id = :parent_id")
_DONE = sa.text("""
DELETE FROM left_children l USING unnest(CAST(:roots AS uuid[]), CAST(:parents AS uuid[])) d(root_id, parent_id)
WHERE l.root_id = d.root_id AND l.parent_id = d.parent_id
""")
_ASKED_BY = sa.text("""
SELECT DISTINCT ON (task_id) task_id, data ->> 'by' AS name FROM task_event
WHERE task_id = ANY(:ids) AND kind IN ('cancelled', 'cancel_requested') ORDER BY task_id, id DESC
""")


@dataclass(frozen=True, slots=True)
class Taken:
    """The next children, each with the task whose cancellation brought theirs about; `asked_by`: who cancelled that."""

    children: Mapping[UUID, UUID]
    asked_by: Mapping[UUID, str | None]


def leave(conn: Connection, parents: Mapping[UUID, UUID]) -> bool:
    """The children of these are to be cancelled, each for the task that its parent is mapped to; answers whether there
    are any. In the transaction that cancelled the parents, after that."""
    return conn.execute(_LEAVE, {"parents": list(parents), "roots": list(parents.values())}).rowcount > 0


def are_there(conn: Connection) -> bool:
    return bool(conn.scalar(_ANY))


def take(conn: Connection, *, limit: int) -> Taken:
    """Up to `limit` of them, for the transaction to cancel."""
    rows = conn.execute(_TAKE, {"limit": limit}).all()
    done = {(row.root_id, row.parent_id): None for row in rows}
    if len(rows) == limit and rows[-1].id is not None:
        conn.execute(_GO_ON, dict(rows[-1]._mapping))
        del done[rows[-1].root_id, rows[-1].parent_id]
    conn.execute(_DONE, {"roots": [root for root, _ in done], "parents": [parent for _, parent in done]})
    children = {row.id: row.root_id for row in rows if row.id is not None}
    return Taken(children, _asked_by(conn, list(set(children.values()))))


def _asked_by(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, str | None]:
    return {row.task_id: row.name for row in conn.execute(_ASKED_BY, {"ids": ids})}
