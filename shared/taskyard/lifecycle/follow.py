"""follow: children that the cancellation of their parent left follow it, a page a transaction."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from ..store import left_children
from .cancel import PAGE, Cancellation, cancel, hold
from .committed import Committed, together


def follow(conn: Connection, *, limit: int = PAGE) -> Committed[int]:
    """Cancels the next of them, and leaves their children in turn; answers how many there were. In a transaction of the
    leader's for this alone."""
    taken = left_children.take(conn, limit=limit)
    if not taken.children:
        return Committed(0)
    hold(conn, list(taken.children))
    parts: list[Committed[list[Cancellation]]] = []
    for root in dict.fromkeys(taken.children.values()):
        ids: list[UUID] = [child for child, first in taken.children.items() if first == root]
        parts.append(cancel(conn, ids, actor=taken.asked_by.get(root), follows=dict.fromkeys(ids, root)))
    # Of those that have ended, too: what they submitted may still be under way.
    left_children.leave(conn, taken.children)
    return together(parts, len(taken.children))
