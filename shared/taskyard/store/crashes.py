"""Attempts that ended with their process, or with their worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All conditions have to hold. `worker` is a worker's name, `name` a task type; `queues` are those that the caller
    may see (None: all)."""

    worker: str | None = None
    name: str | None = None
    queue: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    queues: Collection[str] | None = None

    def conditions(self, values: dict[str, Any]) -> tuple[str, ...]:
        """In SQL, for an attempt `a` of a task `t`; their parameters are added to `values`."""
        given = {
            # Kept as name:child; a name has no colon.
            "worker": ("starts_with(a.worker, :worker || ':')", self.worker),
            "name": ("t.name = :name", self.name),
            "queue": ("t.queue = :queue", self.queue),
            "after": ("a.finished_at >= :after", self.after),
            "until": ("a.finished_at < :until", self.before),
            "queues": ("t.queue = ANY(:queues)", None if self.queues is None else sorted(self.queues)),
        }
        values |= {name: value for name, (_, value) in given.items() if value is not None}
        return tuple(condition for condition, value in given.values() if value is not None)


def page(conn: Connection, wanted: Wanted, *, before: int | None = None, limit: int = 50) -> list[RowMapping]:
    """Up to `limit`, newest first, with ids of attempts below `before`."""
    values: dict[str, Any] = {"limit": limit}
    conditions = wanted.conditions(values)
    if before is not None:
        conditions += ("a.id < :before_id",)
        values["before_id"] = before
    return list(conn.execute(_page(conditions), values).mappings())


@lru_cache(maxsize=64)
def _page(conditions: tuple[str, ...]) -> sa.TextClause:
    # ix_task_attempt_crash backwards: the others of millions of attempts are not looked at.
    both = " AND ".join(("a.outcome IN ('crashed','suspected')", *conditions))
    return sa.text(f"""
    SELECT a.id, a.task_id, t.name, t.version, t.queue, a.attempt, a.outcome, a.worker, a.started_at, a.finished_at,
        a.error, a.peak_memory_bytes
    FROM task_attempt a JOIN task t ON t.id = a.task_id
    WHERE {both} ORDER BY a.id DESC LIMIT :limit""")  # noqa: S608 - fragments of this file; every value is bound
