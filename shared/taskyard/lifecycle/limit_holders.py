"""Which limits a queued task waits for, and which tasks hold them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..store.reads import seen
from .limit_sql import HOLDS

SHOWN_HOLDERS = 20

_SEEN = "(CAST(:seen AS text[]) IS NULL OR h.queue = ANY(CAST(:seen AS text[])))"
_OF_KEY = f"coalesce(h.limits ->> 'key', '') = t.limits ->> 'key' AND {HOLDS}"
# Counted over the indexes of what is limited and of what lives, and no further than the limit.
_OF_QUEUE = """h.queue = t.queue AND h.finished_at IS NULL
        AND (h.state = 'running' OR h.state = 'queued' AND h.limited = 'granted')"""
# Each with the time since which it has held its place: it runs, or was given to the workers.
_SHOWN = """SELECT h.id AS task_id, h.name, h.state,
            CASE WHEN h.state = 'running' THEN h.started_at ELSE h.queued_at END AS since FROM task h"""
# Those of a key go in the order of their ids, in each queue. Over ix_task_limited_key, and no further than the bound.
_BEFORE = """h.queue = t.queue AND coalesce(h.limits ->> 'key', '') = t.limits ->> 'key' AND h.limited = 'waiting'
        AND h.id < t.id"""
_WAITS = sa.text(f"""
SELECT t.queue, t.limits, q.concurrent, q.per_second,
    (SELECT count(*) FROM (SELECT FROM task h WHERE {_BEFORE} LIMIT :most_ahead + 1) h) AS ahead,
    (SELECT CAST(extract(epoch FROM p.last_at + interval '1 second' / CAST(t.limits ->> 'per_second' AS float8) - now())
        AS float8) FROM limit_pace p WHERE p.name = 'task:' || (t.limits ->> 'key')) AS free_in,
    (SELECT count(*) FROM (SELECT FROM task h WHERE {_OF_KEY}
        LIMIT CAST(t.limits ->> 'concurrent' AS int8)) h) AS held_of_key,
    (SELECT jsonb_agg(s) FROM ({_SHOWN} WHERE {_OF_KEY} AND {_SEEN} ORDER BY h.id LIMIT :shown) s) AS of_key,
    (SELECT count(*) FROM (SELECT FROM task h WHERE q.concurrent IS NOT NULL AND {_OF_QUEUE}
        LIMIT q.concurrent) h) AS held_of_queue,
    (SELECT jsonb_agg(s) FROM ({_SHOWN} WHERE (q.concurrent IS NOT NULL OR q.per_second IS NOT NULL) AND {_OF_QUEUE}
        AND {_SEEN} ORDER BY h.id LIMIT :shown) s) AS of_queue
FROM task t LEFT JOIN queue q ON q.name = t.queue
WHERE t.id = :id AND (t.limited = 'waiting'
    OR t.limited IS DISTINCT FROM 'granted' AND (q.concurrent IS NOT NULL OR q.per_second IS NOT NULL))
""")  # noqa: S608 constants only


@dataclass(frozen=True, slots=True)
class HeldLimit:
    """A limit that a task waits for: of its `key`, or of its `queue`. `holders`: tasks that hold it and that the caller
    may see, some of them where there are many, each with `task_id`, `name`, `state` and `since`. `held`: how many hold
    it, up to `concurrent`. `is_full`: as many hold it as may, else it is its rate that is kept. `position`: of a
    key's, the task's place among those of its queue that wait for it, None where too many do. `earliest_in_seconds`:
    its turn by the rate, if nothing else keeps it."""

    holders: list[dict[str, Any]]
    key: str | None = None
    queue: str | None = None
    concurrent: int | None = None
    per_second: float | None = None
    held: int | None = None
    is_full: bool = False
    position: int | None = None
    earliest_in_seconds: float | None = None


def limits_waited_for(
    conn: Connection, task_id: UUID, *, queues: Collection[str] | None, most_ahead: int
) -> list[HeldLimit]:
    """Those that hold it back, also where it was published before its queue had a limit; where none does at this
    moment, all that it has, of which the leader has still to look at one. `queues`: those that the caller may see
    (None: all). Tasks before it are counted up to `most_ahead`."""
    values = {"id": task_id, "seen": seen(queues), "shown": SHOWN_HOLDERS, "most_ahead": most_ahead}
    row = conn.execute(_WAITS, values).first()
    if row is None:
        return []
    found = []
    if row.limits:
        found.append(_placed(_held(HeldLimit(_told(row.of_key), **row.limits), row.held_of_key), row, most_ahead))
    if row.concurrent is not None or row.per_second is not None:
        limit = HeldLimit(_told(row.of_queue), queue=row.queue, concurrent=row.concurrent, per_second=row.per_second)
        found.append(_held(limit, row.held_of_queue))
    return [limit for limit in found if limit.is_full or limit.per_second is not None] or found


def _told(holders: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [{**holder, "since": datetime.fromisoformat(holder["since"])} for holder in holders or []]


def _held(limit: HeldLimit, held: int) -> HeldLimit:
    if limit.concurrent is None:
        return limit
    return replace(limit, held=held, is_full=held >= limit.concurrent)


def _placed(limit: HeldLimit, row: Row[Any], most_ahead: int) -> HeldLimit:
    if row.ahead > most_ahead:
        return limit
    earliest = None if limit.per_second is None else max(0.0, row.free_in or 0.0) + row.ahead / limit.per_second
    return replace(limit, position=row.ahead + 1, earliest_in_seconds=earliest)
