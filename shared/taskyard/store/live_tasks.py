# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Live tasks, chosen by a filter or by their ids, the oldest first.

Counts and choices walk over the index of live tasks, queue by queue and state by state, so that finished tasks cost
nothing; over that of names, state by state, or of workflows or operations where the filter names one. Of a name, what
runs is found over the index of live tasks, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.tasks import LIVE, State
from .reads import COLUMNS, UNBOUNDED, Selection, bounded, seen
from .what_runs import NAMED, OF_LIVE_QUEUES, RUNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Selection):
    """`states` are some of those of live tasks."""

    ids: Sequence[UUID] | None = None
    states: Collection[State] = LIVE
    tag: str | None = None
    workflow_id: UUID | None = None
    # The operation whose replays they are.
    operation_id: UUID | None = None
    # Only those that nobody has asked to stop.
    is_unasked: bool = False

    def statement(self, values: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
        """The way to the tasks, and the conditions in SQL; their parameters are added to `values`."""
        way = self._way()
        found = self.common_conditions(values, queue="q.name" if way == "queue" else "t.queue")
        values["states"] = sorted(set(self.states))
        if self.ids is not None:
            found.append("t.id = ANY(:ids)")
            values["ids"] = list(self.ids)
        if self.workflow_id is not None:
            found.append("t.workflow_id = :workflow_id")
            values["workflow_id"] = self.workflow_id
        if self.operation_id is not None:
            found.append("t.operation_id = :operation_id AND t.finished_at IS NULL")
            values["operation_id"] = self.operation_id
        if self.tag is not None:
            found.append("t.tags @> ARRAY[:tag] AND t.tags <> '{}'")
            values["tag"] = self.tag
        if self.is_unasked:
            found.append("t.cancel_requested_at IS NULL")
        if way == "name" and not (self.queue is None and self.queues is None):
            # The planner may take the index of live tasks instead, where the queues have fewer tasks than the name.
            found.append("t.finished_at IS NULL")
        return way, tuple(found)

    def _way(self) -> str:
        if self.ids is not None:
            return "ids"
        if self.operation_id is not None:
            return "operation"
        return "workflow" if self.workflow_id else "name" if self.name else "queue"


_STATES = "unnest(CAST(:states AS text[])) s(state)"
# A range, though of one state only: after `t.state = s.state` the planner drops the state from the order, and may walk
# the primary key through all tasks to find that none is in this state. An index that begins with the state stays.
_IN_STATE, _BY_STATE = "t.state BETWEEN s.state AND s.state", "t.state, t.id"
# Where the tasks `t` are looked for, and the order in which an index has them.
_WAYS = {
    "queue": (
        f"{OF_LIVE_QUEUES} CROSS JOIN {_STATES}",
        f"t.queue = q.name AND {_IN_STATE} AND t.finished_at IS NULL",
        _BY_STATE,
    ),
    "name": (_STATES, f"{_IN_STATE} AND {NAMED}", _BY_STATE),
    "running": (OF_LIVE_QUEUES, f"{RUNS} AND 'running' = ANY(:states)", _BY_STATE),
    "workflow": ("(SELECT) one", "t.state = ANY(:states)", "t.id"),
    "operation": ("(SELECT) one", "t.state = ANY(:states)", "t.id"),
    "ids": ("(SELECT) one", "t.state = ANY(:states)", "t.id"),
}


def _walk(way: str, conditions: Sequence[str], tail: str) -> str:
    if way == "name":
        # OFFSET 0: without a limit the queues are joined one by one, too.
        both = _along(way, conditions, tail), _along("running", conditions, tail or "OFFSET 0")
        return f"({' UNION ALL '.join(f'SELECT d.id FROM {walk}' for walk in both)}) d"
    return _along(way, conditions, tail)


def _along(way: str, conditions: Sequence[str], tail: str) -> str:
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
    return sa.text(bounded(f"SELECT {COLUMNS} FROM ({ids}) chosen JOIN task t ON t.id = chosen.id", "t.id ASC"))


@lru_cache(maxsize=256)
def _counted(way: str, conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(f"SELECT count(*) FROM {_walk(way, conditions, '')}")


# What a preview looks at: so many tasks, and as many descendants; through those that have ended, too, as a cancellation
# goes.
MOST_FOLLOWED = 10_000


@lru_cache(maxsize=256)
def _below(way: str, conditions: tuple[str, ...]) -> sa.TextClause:
    return sa.text(f"""
    WITH RECURSIVE chosen AS MATERIALIZED ({_ids(way, conditions)}), family AS (
        SELECT id FROM chosen
        UNION
        SELECT c.id FROM family f JOIN task p ON p.id = f.id JOIN task c ON c.parent_id = p.id
        WHERE p.on_cancel = 'cancel_children'
    ), reached AS MATERIALIZED (SELECT id FROM family LIMIT :limit + :most)
    SELECT count(*) FILTER (WHERE t.finished_at IS NULL AND NOT EXISTS (SELECT FROM chosen c WHERE c.id = r.id)) AS n,
        count(*) >= :limit + :most OR (SELECT count(*) FROM chosen) >= :limit AS is_cut
    FROM reached r JOIN task t ON t.id = r.id""")


_NOW = sa.text("SELECT now()")


def choose(conn: Connection, wanted: Wanted, *, limit: int) -> list[UUID]:
    """The ids of the oldest `limit`."""
    values: dict[str, Any] = {"limit": limit}
    return list(conn.execute(_chosen(*wanted.statement(values)), values).scalars())


_MISSING = sa.text("""
SELECT i.id, t.id IS NULL AS is_unknown
FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY i(id, place)
LEFT JOIN task t ON t.id = i.id AND (CAST(:seen AS text[]) IS NULL OR t.queue = ANY(CAST(:seen AS text[])))
WHERE t.id IS NULL OR t.finished_at IS NOT NULL ORDER BY i.place
""")


def missing(conn: Connection, wanted: Wanted) -> dict[UUID, bool]:
    """Those of its ids that are no live tasks: whether each is unknown, else it has ended."""
    values = {"ids": list(wanted.ids or ()), "seen": seen(wanted.queues)}
    return {row.id: row.is_unknown for row in conn.execute(_MISSING, values)}


def count(conn: Connection, wanted: Wanted) -> int:
    values: dict[str, Any] = {}
    return int(conn.execute(_counted(*wanted.statement(values)), values).scalar_one())


def descendants(conn: Connection, wanted: Wanted) -> tuple[int, bool]:
    """How many live tasks a cancellation reaches beside those that are wanted; and whether there may be more, because
    only the oldest of them and so many descendants are looked at."""
    values: dict[str, Any] = {"limit": MOST_FOLLOWED, "most": MOST_FOLLOWED}
    row = conn.execute(_below(*wanted.statement(values)), values).one()
    return int(row.n), bool(row.is_cut)


def now(conn: Connection) -> datetime:
    """PostgreSQL's time, as `created_before` takes it: what has been submitted since does not match."""
    return cast(datetime, conn.execute(_NOW).scalar_one())


def sample(conn: Connection, wanted: Wanted, *, limit: int, most_bytes: int = UNBOUNDED) -> list[RowMapping]:
    """The oldest `limit`, as `reads.tasks_page` returns tasks."""
    values: dict[str, Any] = {"limit": limit, "most_bytes": most_bytes, "seen": seen(wanted.queues)}
    return list(conn.execute(_shown(*wanted.statement(values)), values).mappings())
