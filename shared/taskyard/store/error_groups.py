"""Reads of groups of failures. There are some thousands at most, so lists sort all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.error_groups import GroupState
from ..domain.statistics import Window
from .reads import seen
from .statistics import SINCE, asked, begins

_IN_STATE = {
    GroupState.OPEN: "g.solved_at IS NULL",
    GroupState.SOLVED: "g.solved_at IS NOT NULL AND g.returned_at IS NULL",
    GroupState.RETURNED: "g.returned_at IS NOT NULL",
}

# What was said of the newest failure stands in its attempt only: what is erased there is gone from here, too.
_SHOWN = """
SELECT g.*, e.error, e.version FROM ({groups}) g
LEFT JOIN LATERAL (
    SELECT a.error, t.version FROM task t JOIN task_attempt a ON a.task_id = t.id
    WHERE t.id = g.task_ids[1] AND t.queue = g.queue AND a.error ->> 'code' = g.code ORDER BY a.id DESC LIMIT 1
) e ON true
ORDER BY g.last_seen_at DESC, g.id DESC
"""
_SEEN = "(CAST(:seen AS text[]) IS NULL OR g.queue = ANY(CAST(:seen AS text[])))"

_ONE = sa.text(_SHOWN.format(groups=f"SELECT * FROM error_group g WHERE g.id = :id AND {_SEEN}"))  # noqa: S608

_POINTS = sa.text(f"""
SELECT since, now() AS until, at, failures FROM (SELECT {SINCE} AS since) bounds
LEFT JOIN error_count ON group_id = :id AND span = :span AND at >= since ORDER BY at
""")  # noqa: S608 constants only

# In the same statement, so that no group has counts of failures that it has not seen.
_COUNTED = """
SELECT shown.*, bounds.since, (
    SELECT coalesce(jsonb_object_agg(CAST(extract(epoch FROM c.at) AS int8), c.failures), '{{}}') FROM error_count c
    WHERE c.group_id = shown.id AND c.span = :span AND c.at >= bounds.since
) AS counted
FROM ({shown}) shown, (SELECT {since} AS since) bounds ORDER BY shown.last_seen_at DESC, shown.id DESC
"""

_TASKS = sa.text("""
SELECT t.id, t.state, t.attempt, t.created_at, t.finished_at FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY u(id, n)
JOIN task t ON t.id = u.id AND t.queue = :queue ORDER BY n
""")


@dataclass(frozen=True, slots=True)
class Filter:
    """`queues`: those that the caller sees; None: all."""

    queues: Collection[str] | None = None
    state: GroupState | None = None
    name: str | None = None
    code: str | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Of a group in the list."""

    last_seen_at: datetime
    id: UUID


def page(
    conn: Connection, wanted: Filter, *, before: Position | None, limit: int, window: Window | None = None
) -> list[RowMapping]:
    """The groups that were seen last, with `error` of their newest failure while it is kept, and what `counts` reads
    where a window is wanted."""
    conditions = [_SEEN]
    values: dict[str, Any] = {"seen": seen(wanted.queues), "limit": limit}
    if wanted.state is not None:
        conditions.append(_IN_STATE[wanted.state])
    for column in ("name", "code", "queue"):
        if (value := getattr(wanted, column)) is not None:
            conditions.append(f"g.{column} = :{column}")
            values[column] = value
    if before is not None:
        conditions.append("(g.last_seen_at, g.id) < (:last_seen_at, :id)")
        values |= {"last_seen_at": before.last_seen_at, "id": before.id}
    groups = (
        f"SELECT * FROM error_group g WHERE {' AND '.join(conditions)}"  # noqa: S608 - made of constants
        " ORDER BY g.last_seen_at DESC, g.id DESC LIMIT :limit"
    )
    shown = _SHOWN.format(groups=groups)
    if window is not None:
        shown = _COUNTED.format(shown=shown, since=SINCE)
        values |= {**asked(window), "span": window}
    return list(conn.execute(sa.text(shown), values).mappings())


def one(conn: Connection, group_id: UUID, *, queues: Collection[str] | None) -> RowMapping | None:
    return conn.execute(_ONE, {"id": group_id, "seen": seen(queues)}).mappings().first()


def points(conn: Connection, group_id: UUID, window: Window) -> list[RowMapping]:
    """(since, until, at, failures) of each point with failures. Without any, one with `at` None."""
    return list(conn.execute(_POINTS, {**asked(window), "id": group_id, "span": window}).mappings())


def counts(group: RowMapping, window: Window) -> list[int]:
    """The failures of each step of the window that the page was read for."""
    return [group["counted"].get(str(int(at.timestamp())), 0) for at in begins(group["since"], window)]


def tasks(conn: Connection, group: RowMapping) -> list[RowMapping]:
    """The newest tasks that failed so, those that are kept."""
    return list(conn.execute(_TASKS, {"ids": group["task_ids"], "queue": group["queue"]}).mappings())


def state_of(group: RowMapping) -> GroupState:
    if group["returned_at"] is not None:
        return GroupState.RETURNED
    return GroupState.OPEN if group["solved_at"] is None else GroupState.SOLVED
