# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Live tasks, chosen by a filter or by their ids, the oldest first.

Counts and choices walk over the index of live tasks, queue by queue and state by state, so that finished tasks cost
nothing; over that of names, state by state, or of workflows where the filter names one.
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
        if way == "name" and self.queue is not None:
            # The planner may take the index of live tasks instead, where the queue has fewer tasks than the name.
            found.append("t.finished_at IS NULL")
        return way, tuple(found)


# The queues in which something is live, with one step in ix_task_live each: not all of them have a row in `queue`.
LIVE_QUEUES = """
WITH RECURSIVE q AS (
    (SELECT queue AS name FROM task WHERE finished_at IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM task t WHERE t.finished_at IS NULL AND t.queue > q.name ORDER BY t.queue LIMIT 1)
    FROM q WHERE q.name IS NOT NULL
)
"""

_STATES = "unnest(CAST(:states AS text[])) s(state)"
# A range, though of one state only: after `t.state = s.state` the planner drops the state from the order, and may walk
# the primary key through all tasks to find that none is in this state. An index that begins with the state stays.
_IN_STATE, _BY_STATE = "t.state BETWEEN s.state AND s.state", "t.state, t.id"
# Where the tasks `t` are looked for, and the order in which an index has them.
_WAYS = {
    "queue": (
        f"({LIVE_QUEUES} SELECT name FROM q) q CROSS JOIN {_STATES}",
        f"t.queue = q.name AND {_IN_STATE} AND t.finished_at IS NULL",
        _BY_STATE,
    ),
    "name": (_STATES, _IN_STATE, _BY_STATE),
    "workflow": ("(SELECT) one", "t.state = ANY(:states)", "t.id"),
    "ids": ("(SELECT) one", "t.state = ANY(:states)", "t.id"),
}


def _walk(way: str, conditions: Sequence[str], tail: str) -> str:
    source, inside, _ = _WAYS[way]
    both = " AND ".join((inside, *conditions))
    return f"{source} CROSS JOIN LATERAL (SELECT t.id FROM task t WHERE {both} {tail}) d"


def _ids(way: str, conditions: Sequence[str]) -> str:
    *_, order = _WAYS[way]
    walk = _walk(way, conditions, f"ORDER BY {order} LIMIT :limit")
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
