"""Which limit a queued task waits for, and which tasks hold it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class HeldLimit:
    """A limit that a task waits for. `holders`: tasks that hold it and that the caller may see, some of them where
    there are many."""

    key: str
    holders: list[UUID]
    concurrent: int | None = None
    per_second: float | None = None


def limits_waited_for(conn: Connection, task_id: UUID, *, queues: Collection[str] | None) -> list[HeldLimit]:
    """`queues`: those that the caller may see (None: all). No limit is held before publication yet."""
    return []
