# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Live tasks, chosen by a filter or by their ids, the oldest first.

Counts and choices walk over the index of live tasks, queue by queue and state by state, so that finished tasks cost
nothing; over that of names or of workflows where the filter names one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.tasks import LIVE, State
from .reads import COLUMNS, UNBOUNDED, Selection, bounded, seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Selection):
    """`states` are some of those of live tasks."""

    ids: Sequence[UUID] | None = None
    states: Collection[State] = LIVE
    tag: str | None = None
    workflow_id: UUID | None = None

    def statement(self, values: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
        """The way to the tasks, and the conditions in SQL; their parameters are added to `values`."""
        way = "ids" if self.ids is not None else "workflow" if self.workflow_id else "name" if self.name else "queue"
        found = self.common_conditions(values, queue="q.name" if way == "queue" else "t.queue")
        values["states"] = sorted(set(self.states))
        if self.ids is not None:
            found.append("t.id = ANY(:ids)")
            values["ids"] = list(self.ids)
        if self.workflow_id is not None:
            found.append("t.workflow_id = :workflow_id")
            values["workflow_id"] = self.workflow_id
        if self.tag is not None:
            found.append("t.tags @> ARRAY[:tag] AND t.tags <> '{}'")
            values["tag"] = self.tag
        return way, tuple(found)


_STATES = "unnest(CAST(:states AS text[])) s(state)"
# Where the tasks `t` are looked for.
_WAYS = {
    "queue": (f"queue q CROSS JOIN {_STATES}", "t.queue = q.name AND t.state = s.state"),
    "name": (_STATES, "t.state = s.state"),
    "workflow": ("(SELECT) one", "t.state = ANY(:states)"),
    "ids": ("(SELECT) one", "t.state = ANY(:states)"),
}


def _walk(way: str, conditions: Sequence[str], tail: str) -> str:
    source, inside = _WAYS[way]
    both = " AND ".join((inside, "t.finished_at IS NULL", *conditions))
    return f"{source} CROSS JOIN LATERAL (SELECT t.id FROM task t WHERE {both} {tail}) d"


def _ids(way: str, conditions: Sequence[str]) -> str:
    walk = _walk(way, conditions, "ORDER BY t.id LIMIT :limit")
    return f"SELECT d.id FROM {walk} ORDER BY d.id LIMIT :limit"


@lru_cache(maxsize=256)
def _chosen(way: str, conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(_ids(way, conditions))


@lru_cache(maxsize=256)
def _shown(way: str, conditions: tuple[str, ...]) -> sa.TextClause:
    ids = _ids(way, conditions)
    return sa.text(bounded(f"SELECT {COLUMNS} FROM ({ids}) chosen JOIN task t ON t.id = chosen.id", "ASC"))


@lru_cache(maxsize=256)
def _counted(way: str, conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(f"SELECT count(*) FROM {_walk(way, conditions, '')}")


def choose(conn: Connection, wanted: Wanted, *, limit: int) -> list[UUID]:
    """The ids of the oldest `limit`."""
    values: dict[str, Any] = {"limit": limit}
    return list(conn.execute(_chosen(*wanted.statement(values)), values).scalars())


def count(conn: Connection, wanted: Wanted) -> int:
    values: dict[str, Any] = {}
    return int(conn.execute(_counted(*wanted.statement(values)), values).scalar_one())


def sample(conn: Connection, wanted: Wanted, *, limit: int, most_bytes: int = UNBOUNDED) -> list[RowMapping]:
    """The oldest `limit`, as `reads.tasks_page` returns tasks."""
    values: dict[str, Any] = {"limit": limit, "most_bytes": most_bytes, "seen": seen(wanted.queues)}
    return list(conn.execute(_shown(*wanted.statement(values)), values).mappings())
