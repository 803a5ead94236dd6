# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Dead letters: failed tasks that were neither retried nor discarded.

Pages, counts and choices walk over partial indexes of dead letters, queue by queue (see tables), so their cost does not
depend on the backlog or on finished tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from .reads import COLUMNS, UNBOUNDED, Selection, bounded

# The predicate of the indexes; a query has to repeat it.
IS_DEAD = "t.state = 'failed' AND t.discarded_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Selection):
    """`code` is the code of the error."""

    ids: Sequence[UUID] | None = None
    code: str | None = None

    def conditions(self, values: dict[str, Any]) -> tuple[str, ...]:
        """The conditions in SQL, for a task `t` in the queue `q`; their parameters are added to `values`."""
        found = self.common_conditions(values, queue="q.name")
        if self.ids is not None:
            found.append("t.id = ANY(:ids)")
            values["ids"] = list(self.ids)
        if self.code is not None:
            found.append("t.error ->> 'code' = :code")
            values["code"] = self.code
        return tuple(found)


def walk(conditions: Sequence[str], order: str) -> str:
    """The ids of up to `:limit` dead letters, in that order (ASC: oldest first)."""
    both = " AND ".join((IS_DEAD, *conditions))
    return f"""
    SELECT d.id FROM queue q CROSS JOIN LATERAL (
        SELECT t.id FROM task t WHERE t.queue = q.name AND {both} ORDER BY t.id {order} LIMIT :limit
    ) d ORDER BY d.id {order} LIMIT :limit"""


def tally(conditions: Sequence[str]) -> str:
    """Their number, as `n`."""
    both = " AND ".join((IS_DEAD, *conditions))
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
    values: dict[str, Any] = {"limit": limit, "most_bytes": most_bytes}
    conditions = wanted.conditions(values)
    if before is not None:
        conditions += ("t.id < :before",)
        values["before"] = before
    return list(conn.execute(_page(conditions, "ASC" if oldest_first else "DESC"), values).mappings())


@lru_cache(maxsize=256)
def _page(conditions: tuple[str, ...], order: str) -> sa.TextClause:
    ids = walk(conditions, order)
    return sa.text(bounded(f"SELECT {COLUMNS} FROM ({ids}) dead JOIN task t ON t.id = dead.id", order))


def count(conn: Connection, wanted: Wanted) -> int:
    values: dict[str, Any] = {}
    return int(conn.execute(_count(wanted.conditions(values)), values).scalar_one())


@lru_cache(maxsize=256)
def _count(conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(tally(conditions))
