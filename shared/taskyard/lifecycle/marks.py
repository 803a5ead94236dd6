"""marks: how many of its items a task has done, kept through all of its attempts."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.errors import Fenced

_POSITION = sa.text("SELECT position FROM task_mark WHERE task_id = :task_id")

# FOR SHARE: an attempt that is given up meanwhile waits, so that the next one reads what stands here.
_MOVE = sa.text("""
WITH live AS (
    SELECT id FROM task WHERE id = :task_id AND claim = :claim AND state = 'running' FOR SHARE
)
INSERT INTO task_mark (task_id, position) SELECT id, :position FROM live
ON CONFLICT (task_id) DO UPDATE SET position = excluded.position, moved_at = now()
""")


def position(conn: Connection, task_id: UUID) -> int:
    """0 where the task has no mark."""
    return conn.execute(_POSITION, {"task_id": task_id}).scalar() or 0


def move(conn: Connection, task_id: UUID, claim: UUID, to: int) -> None:
    """Raises Fenced where the claim does not hold any more."""
    if not conn.execute(_MOVE, {"task_id": task_id, "claim": claim, "position": to}).rowcount:
        raise Fenced("this attempt does not hold the task any more")
