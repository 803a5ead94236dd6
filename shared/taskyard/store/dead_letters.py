# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Dead letters: failed tasks that were neither retried nor discarded; and those that were discarded.

Pages, counts and choices walk over partial indexes of dead letters, or of discarded ones, queue by queue (see tables),
so their cost does not depend on the backlog or on finished tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from .reads import COLUMNS, UNBOUNDED, Selection, bounded, seen

# The predicates of the indexes; a query has to repeat them.
IS_DEAD = "t.state = 'failed' AND t.discarded_at IS NULL"
IS_DISCARDED = "t.state = 'failed' AND t.discarded_at IS NOT NULL"
# What is run again as dead letters are; that of ended tasks.
IS_CANCELLED = "t.state = 'cancelled' AND t.finished_at IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Selection):
    """`code` is the code of the error; `operation_id` the operation that discarded or restored them last;
    `failed_before` the time of the failure. `discarded`: those that were put away instead, at these times;
    `cancelled`: cancelled tasks instead. `is_no_step`: those of no workflow."""

    ids: Sequence[UUID] | None = None
    code: str | None = None
    operation_id: UUID | None = None
    failed_before: datetime | None = None
    discarded: bool = False
    cancelled: bool = False
    is_no_step: bool = False
    discarded_after: datetime | None = None
    discarded_before: datetime | None = None

    def conditions(self, values: dict[str, Any]) -> tuple[str, ...]:
        """The conditions in SQL, for a task `t` in the queue `q`; their parameters are added to `values`."""
        found = [IS_CANCELLED if self.cancelled else IS_DISCARDED if self.discarded else IS_DEAD]
        found += self.common_conditions(values, queue="q.name")
        if self.ids is not None:
            found.append("t.id = ANY(:ids)")
            values["ids"] = list(self.ids)
        if self.code is not None:
            found.append("t.error ->> 'code' = :code")
            values["code"] = self.code
        if self.is_no_step:
            found.append("t.workflow_id IS NULL")
        if self.operation_id is not None:
            found.append("t.operation_id = :operation_id")
            values["operation_id"] = self.operation_id
        if self.failed_before is not None:
            found.append("t.finished_at < :failed_before")
            values["failed_before"] = self.failed_before
        if self.discarded_after is not None:
            found.append("t.discarded_at >= :discarded_after")
            values["discarded_after"] = self.discarded_after
        if self.discarded_before is not None:
            found.append("t.discarded_at < :discarded_before")
            values["discarded_before"] = self.discarded_before
        return tuple(found)


def walk(conditions: Sequence[str], order: str) -> str:
    """The ids of up to `:limit` that meet the `conditions` of a `Wanted`, in that order (ASC: oldest first)."""
    both = " AND ".join(conditions)
    return f"""
    SELECT d.id FROM queue q CROSS JOIN LATERAL (
        SELECT t.id FROM task t WHERE t.queue = q.name AND {both} ORDER BY t.id {order} LIMIT :limit
    ) d ORDER BY d.id {order} LIMIT :limit"""


def tally(conditions: Sequence[str]) -> str:
    """Their number, as `n`."""
    both = " AND ".join(conditions)
    return f"SELECT count(*) AS n FROM queue q JOIN task t ON t.queue = q.name AND {both}"


def page(
    conn: Connection,
    wanted: Wanted,
    *,
    before: UUID | None = None,
    limit: int = 50,
    oldest_first: bool = False,
    most_bytes: int = UNBOUNDED,
) -> list[RowMapping]:
    """Up to `limit` dead letters, as `reads.tasks_page` returns tasks, newest first, with ids below `before`."""
    values: dict[str, Any] = {"limit": limit, "most_bytes": most_bytes, "seen": seen(wanted.queues)}
    conditions = wanted.conditions(values)
    if before is not None:
        conditions += ("t.id < :before",)
        values["before"] = before
    return list(conn.execute(_page(conditions, "ASC" if oldest_first else "DESC"), values).mappings())


@lru_cache(maxsize=256)
def _page(conditions: tuple[str, ...], order: str) -> sa.TextClause:
    ids = walk(conditions, order)
    return sa.text(bounded(f"SELECT {COLUMNS} FROM ({ids}) dead JOIN task t ON t.id = dead.id", f"t.id {order}"))


def choose(conn: Connection, wanted: Wanted, *, limit: int) -> list[UUID]:
    """The ids of the oldest `limit`."""
    values: dict[str, Any] = {"limit": limit}
    return list(conn.execute(_chosen(wanted.conditions(values)), values).scalars())


@lru_cache(maxsize=256)
def _chosen(conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(walk(conditions, "ASC"))


def count(conn: Connection, wanted: Wanted) -> int:
    values: dict[str, Any] = {}
    return int(conn.execute(_count(wanted.conditions(values)), values).scalar_one())


@lru_cache(maxsize=256)
def _count(conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(tally(conditions))


# A page that says where the failures are asks for them each time it is opened.
MOST_GROUPED = 10_000
MOST_GROUPS = 50


def groups(conn: Connection, wanted: Wanted) -> list[RowMapping]:
    """The newest `MOST_GROUPED`, grouped by type and code, the largest of the groups first; `grouped` is the number of
    dead letters in all groups together, `group_count` that of the groups."""
    values: dict[str, Any] = {"limit": MOST_GROUPED, "groups": MOST_GROUPS}
    return list(conn.execute(_grouped(wanted.conditions(values)), values).mappings())


@lru_cache(maxsize=256)
def _grouped(conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(f"""
    SELECT t.name, t.error ->> 'code' AS code, count(*) AS count, min(t.finished_at) AS first_failed_at,
        max(t.finished_at) AS last_failed_at, CAST(sum(count(*)) OVER () AS int8) AS grouped,
        count(*) OVER () AS group_count
    FROM ({walk(conditions, "DESC")}) dead JOIN task t ON t.id = dead.id
    GROUP BY t.name, t.error ->> 'code' ORDER BY count(*) DESC, max(t.finished_at) DESC LIMIT :groups""")
