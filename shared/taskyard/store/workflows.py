# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Reads of workflows: one, a page of them, their steps, their timelines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row, RowMapping

from ..domain.tasks import State
from ..domain.workflows import FlowState
from .reads import seen

# Names of needs that a step shows, unless more are asked for; a join may have 10,000.
SHOWN_NEEDS, MOST_NEEDS = 100, 1_000
COLUMNS = """w.id, w.name, w.on_failure, w.state, w.steps, w.succeeded, w.failed, w.cancelled, w.excused, w.created_at,
    w.cancel_requested_at, w.finished_at, w.request_id, w.traceparent, w.submitted_by, w.callback"""
# Who may see all queues of its steps (`:seen`, NULL: every queue) may see the workflow.
_VISIBLE = "(CAST(:seen AS text[]) IS NULL OR w.queues <@ CAST(:seen AS text[]))"
_BY_ID = sa.text(f"SELECT {COLUMNS} FROM workflow w WHERE w.id = :id AND {_VISIBLE}")
_STEPS = """
SELECT s.task_id, s.name, s.optional, s.pending_needs, t.name AS task_name, t.queue, t.state, t.attempt, t.started_at,
    t.finished_at, t.version, t.error, cardinality(s.needs) AS needs_count,
    ARRAY(
        SELECT n.name FROM unnest(s.needs[1:CAST(:needs_limit AS int)]) d(id) JOIN workflow_step n ON n.task_id = d.id
    ) AS needs
FROM workflow_step s JOIN task t ON t.id = s.task_id
WHERE s.workflow_id = :id AND s.task_id > :after {states}
ORDER BY s.task_id LIMIT :limit
"""
_LOWEST = UUID(int=0)


def by_id(conn: Connection, workflow_id: UUID, *, queues: Collection[str] | None = None) -> RowMapping | None:
    """A workflow, or None; `queues` are those that the caller may see (None: all)."""
    return conn.execute(_BY_ID, {"id": workflow_id, "seen": seen(queues)}).mappings().first()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFilter:
    """All conditions have to hold; `queues` are those that the caller may see (None: all)."""

    states: Collection[FlowState] = ()
    name: str | None = None
    queues: Collection[str] | None = None


def page(conn: Connection, wanted: FlowFilter, *, before: UUID | None = None, limit: int = 50) -> list[RowMapping]:
    """Up to `limit` workflows, newest first, with ids below `before`."""
    values: dict[str, Any] = {"limit": limit, "seen": seen(wanted.queues)}
    conditions = [_VISIBLE]

    def add(condition: str, **bound: Any) -> None:
        conditions.append(condition)
        values.update(bound)

    if before is not None:
        add("w.id < :before", before=before)
    if wanted.states:
        add("w.state = ANY(:states)", states=sorted(wanted.states))
    if wanted.name is not None:
        add("w.name = :name", name=wanted.name)
    return list(conn.execute(_page(tuple(conditions)), values).mappings())


@lru_cache(maxsize=64)
def _page(conditions: tuple[str, ...]) -> sa.TextClause:
    where = " AND ".join(conditions)
    return sa.text(f"SELECT {COLUMNS} FROM workflow w WHERE {where} ORDER BY w.id DESC LIMIT :limit")


@lru_cache(maxsize=2)
def _steps(with_states: bool) -> sa.TextClause:
    return sa.text(_STEPS.format(states="AND t.state = ANY(:states)" if with_states else ""))


def steps_page(
    conn: Connection,
    workflow_id: UUID,
    *,
    after: UUID | None = None,
    states: Collection[State] = (),
    limit: int = 50,
    needs_limit: int = SHOWN_NEEDS,
) -> list[RowMapping]:
    """Up to `limit` steps, each behind those that it needs (added ones aside)."""
    values: dict[str, Any] = {
        "id": workflow_id,
        "after": after or _LOWEST,
        "limit": limit,
        "needs_limit": needs_limit,
    }
    if states:
        values["states"] = sorted(states)
    return list(conn.execute(_steps(bool(states)), values).mappings())


_EVENTS = sa.text("""
SELECT id, at, kind, data FROM workflow_event WHERE workflow_id = :id AND id > :after ORDER BY id LIMIT :limit
""")


def timeline(conn: Connection, workflow_id: UUID, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` events behind the one with the id `after`.

    Their writers hold the workflow's row until they commit, so that ids grow within a workflow.
    """
    return conn.execute(_EVENTS, {"id": workflow_id, "after": after, "limit": limit}).all()
