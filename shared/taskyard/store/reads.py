# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Reads of tasks: one, some, a page of a list.

Each query is written for a million waiting tasks; comments name the index that it uses (see tables).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.ids import earliest_id_at
from ..domain.tasks import LIVE, State
from .what_runs import NAMED, NEWEST_OF_A_STATE, OF_LIVE_QUEUES, RUNS

# Ids carry the clock of the process that made them, `created_at` that of PostgreSQL. So a bound on time becomes a bound
# on ids with this margin, beside the exact condition.
CLOCK_SKEW = timedelta(minutes=1)

COLUMNS = """t.id, t.name, t.queue, t.state, t.params, t.result, t.error, t.attempt, t.max_attempts, t.crashes,
    t.soft_timeout_seconds, t.hard_timeout_seconds, t.created_at, t.run_at, t.started_at, t.finished_at, t.expires_at,
    t.cancel_requested_at, t.worker, t.tags, t.request_id, t.traceparent, t.version, t.submitted_by, t.partial,
    t.limits, t.discarded_at, t.callback, t.workflow_id, t.schedule_id, t.parent_id"""
# A reader that sees only the queues `:seen` (NULL: all) is told no id of a task in another one.
_PARENT = """CASE WHEN CAST(:seen AS text[]) IS NULL THEN t.parent_id ELSE
    (SELECT p.id FROM task p WHERE p.id = t.parent_id AND p.queue = ANY(CAST(:seen AS text[]))) END AS parent_id"""
# As readers get them: parameters and results stay text. As objects they would need up to sixty times the memory.
SHOWN = COLUMNS.replace("t.params, t.result", "t.params::text AS params, t.result::text AS result").replace(
    "t.parent_id", _PARENT
)
PROGRESS = """p.current AS progress_current, p.total AS progress_total, p.message AS progress_message,
    p.updated_at AS progress_at"""

# The progress of an earlier attempt does not count for the current one.
AND_PROGRESS = "LEFT JOIN task_progress p ON p.task_id = t.id AND p.attempt = t.attempt"

UNBOUNDED = 2**62

_BY_IDS = sa.text(f"SELECT {SHOWN}, {PROGRESS} FROM task t {AND_PROGRESS} WHERE t.id = ANY(:ids) ORDER BY t.id")


def task_by_id(conn: Connection, task_id: UUID, *, queues: Collection[str] | None = None) -> RowMapping | None:
    """A task with its progress (`progress_*`), or None; `queues` are those that the caller may see (None: all). Its
    `params` and `result` are JSON text."""
    row = conn.execute(_BY_IDS, {"ids": [task_id], "seen": seen(queues)}).mappings().first()
    return row if row is None or queues is None or row["queue"] in queues else None


def seen(queues: Collection[str] | None) -> list[str] | None:
    """As statements that show tasks bind the queues that the caller may see."""
    return None if queues is None else sorted(queues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All conditions have to hold; `queues` are those that the caller may see (None: all). `behind`: only greater ids,
    for a walk in batches."""

    name: str | None = None
    queue: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    queues: Collection[str] | None = None
    behind: UUID | None = None

    def common_conditions(self, values: dict[str, Any], *, queue: str) -> list[str]:
        """The conditions in SQL for a task `t`, whose queue is `queue`; their parameters are added to `values`."""
        found: list[str] = []

        def add(condition: str, **bound: Any) -> None:
            found.append(condition)
            values.update(bound)

        if self.name is not None:
            add("t.name = :name", name=self.name)
        if self.queue is not None:
            add(f"{queue} = :queue", queue=self.queue)
        if self.queues is not None:
            add(f"{queue} = ANY(:queues)", queues=sorted(self.queues))
        if (after := self.created_after) is not None:
            first = earliest_id_at(after - CLOCK_SKEW)
            add("t.id >= :first_id AND t.created_at >= :after", after=after, first_id=first)
        if (until := self.created_before) is not None:
            last = earliest_id_at(until + CLOCK_SKEW)
            add("t.id < :last_id AND t.created_at < :until", until=until, last_id=last)
        if self.behind is not None:
            add("t.id > :behind", behind=self.behind)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter(Selection):
    """`item_id`: that of the parameters, which with a tag tells the tasks of an item from those that only have its
    tag. It has no index of its own. Nor has `worker_id`, which is for tasks that run: there are few."""

    states: Collection[State] = ()
    tag: str | None = None
    workflow_id: UUID | None = None
    parent_id: UUID | None = None
    schedule_id: UUID | None = None
    item_id: UUID | None = None
    worker_id: UUID | None = None

    def conditions(self, values: dict[str, Any]) -> list[str]:
        """In SQL, for a task `t`, without that of its state; their parameters are added to `values`."""
        found = self.common_conditions(values, queue="t.queue")
        if self.tag is not None:
            # `tags <> '{}'` is the predicate of the GIN index ix_task_tags.
            found.append("t.tags @> ARRAY[:tag] AND t.tags <> '{}'")
            values["tag"] = self.tag
        for name, value in self.origins().items():
            found.append(f"t.{name} = :{name}")
            values[name] = value
        if self.parent_id is not None and self.queues is not None:
            found.append("EXISTS (SELECT FROM task p WHERE p.id = :parent_id AND p.queue = ANY(:queues))")
        if self.item_id is not None:
            found.append("t.params ->> 'item_id' = :item_id")
            values["item_id"] = str(self.item_id)
        if self.worker_id is not None:
            found.append("t.worker_id = :worker_id")
            values["worker_id"] = self.worker_id
        return found

    def origins(self) -> dict[str, UUID]:
        """What the tasks belong to or come from. Each has an index that ends with the id."""
        names = ("workflow_id", "parent_id", "schedule_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def tasks_page(
    conn: Connection, wanted: TaskFilter, *, before: UUID | None = None, limit: int = 50, most_bytes: int = UNBOUNDED
) -> list[RowMapping]:
    """Up to `limit` tasks, newest first, with ids below `before`. Fewer, but one at least, where their parameters and
    results have more than `most_bytes`. `has_more`: whether there is another behind it."""
    values: dict[str, Any] = {"limit": limit, "most_bytes": most_bytes, "seen": seen(wanted.queues)}
    conditions = wanted.conditions(values)
    if before is not None:
        conditions.append("t.id < :before")
        values["before"] = before
    way = _way(wanted)
    if way == "newest" and wanted.states:
        conditions.append("t.state = ANY(:states)")
        values["states"] = sorted(wanted.states)
    states = wanted.states or State
    if way == "queue":
        values["live"] = sorted(s for s in states if s in LIVE)
        values["ended"] = sorted(s for s in states if s not in LIVE)
    if way == "name":
        values["states"] = sorted(s for s in states if s is not State.RUNNING)
        values["running"] = State.RUNNING in states
    return list(conn.execute(_page(tuple(conditions), way), values).mappings())


def _way(wanted: TaskFilter) -> str:
    """Chooses the index to walk. A million tasks in other states may lie between two that match, so every query but the
    simplest uses an index that has the state in it.
    """
    if wanted.origins():
        return "newest"
    if wanted.name is not None:
        return "name"
    if wanted.tag is not None and not (wanted.states and all(s in LIVE for s in wanted.states)):
        return "newest"  # a tag usually belongs to one queue: a walk over the others would find nothing
    if wanted.states or wanted.queue is not None or wanted.queues is not None:
        return "queue"
    return "newest"


@lru_cache(maxsize=256)
def _page(conditions: tuple[str, ...], way: str) -> sa.TextClause:
    both = " AND ".join(conditions)
    tail = "ORDER BY t.id DESC LIMIT :limit"
    match way:
        case "queue":
            # ix_task_live and ix_task_ended: a short walk per queue and state, merged. The predicate of
            # each has to be repeated for the planner to see it.
            walks = [
                f"SELECT t.* FROM queue q CROSS JOIN unnest(CAST(:{states} AS text[])) s(state) CROSS JOIN LATERAL ("
                f"SELECT t.* FROM task t WHERE t.queue = q.name AND t.state = s.state AND {predicate}"
                f"{' AND ' + both if both else ''} {tail}) t"
                for states, predicate in (("live", "t.finished_at IS NULL"), ("ended", "t.finished_at IS NOT NULL"))
            ]
            inner, where = f"({' UNION ALL '.join(walks)}) t", ""
        case "name":
            # ix_task_named: a short walk per state, merged with what runs.
            inner = (
                "(SELECT t.* FROM unnest(CAST(:states AS text[])) s(state) CROSS JOIN LATERAL ("
                f"SELECT t.* FROM task t WHERE t.state = s.state AND {NAMED} AND {both} {tail}) t"
                f" UNION ALL SELECT t.* FROM {OF_LIVE_QUEUES} CROSS JOIN LATERAL ("
                f"SELECT t.* FROM task t WHERE :running AND {RUNS} AND {both} {NEWEST_OF_A_STATE} LIMIT :limit) t) t"
            )
            where = ""
        case _:
            # The primary key, ix_task_workflow, ix_task_parent or ix_task_schedule backwards, or ix_task_tags.
            inner, where = "task t", f"WHERE {both}" if both else ""
    return sa.text(bounded(f"SELECT {COLUMNS} FROM {inner} {where} {tail}", "t.id DESC"))


def longest_running(
    conn: Connection, wanted: TaskFilter, *, after: UUID | None = None, limit: int = 50, most_bytes: int = UNBOUNDED
) -> list[RowMapping]:
    """As `tasks_page`, of what runs, the oldest start first, behind the task `after`. Reads all that runs, which the
    slots of the workers bound."""
    values: dict[str, Any] = {"limit": limit, "most_bytes": most_bytes, "seen": seen(wanted.queues)}
    conditions = wanted.conditions(values)
    if after is not None:
        conditions.append("(t.started_at, t.id) > (SELECT a.started_at, a.id FROM task a WHERE a.id = :after)")
        values["after"] = after
    return list(conn.execute(_longest(tuple(conditions)), values).mappings())


@lru_cache(maxsize=256)
def _longest(conditions: tuple[str, ...]) -> sa.TextClause:
    # ix_task_live, queue by queue.
    both = " AND ".join(("t.queue = q.name AND t.state = 'running' AND t.finished_at IS NULL", *conditions))
    order = "t.started_at, t.id"
    return sa.text(bounded(f"SELECT {COLUMNS} FROM queue q JOIN task t ON {both} ORDER BY {order} LIMIT :limit", order))


def bounded(page: str, order: str) -> str:
    """The tasks of a page in this order, of which `:most_bytes` of parameters and results are taken; `:seen` as in
    `_PARENT`."""
    return f"""
    WITH page AS MATERIALIZED ({page}),
    shown AS (SELECT {SHOWN} FROM page t),
    sized AS (
        SELECT t.*, lead(t.id) OVER (ORDER BY {order}) IS NOT NULL AS has_more,
            coalesce(sum(octet_length(t.params) + coalesce(octet_length(t.result), 0)) OVER (
                ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
        FROM shown t
    )
    SELECT t.*, {PROGRESS} FROM sized t {AND_PROGRESS} WHERE t.bytes_before < :most_bytes ORDER BY {order}"""


_STANDINGS = sa.text("""
SELECT t.id, t.state, t.attempt, p.updated_at AS progress_at,
    (SELECT max(e.id) FROM task_event e WHERE e.task_id = t.id) AS last_event
FROM task t LEFT JOIN task_progress p ON p.task_id = t.id
WHERE t.id = ANY(:ids)
""")


def standings(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[Any, ...]]:
    """A value for each task, beginning with its state, that differs after every change. Live events compare these where
    messages were lost.
    """
    rows = conn.execute(_STANDINGS, {"ids": list(ids)})
    return {r.id: (r.state, r.attempt, r.progress_at, r.last_event) for r in rows}
