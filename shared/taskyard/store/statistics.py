"""Reads of what the leader counts and samples over time. Each is one statement, whose cost depends on the points of its
window and on the number of types, queues and groups, not on that of tasks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.statistics import BOUNDS, Window
from .reads import seen

# Error codes that an answer names.
TOP_CODES = 20

# The begin of the first point: of so many that the current one is the last.
SINCE = "date_bin(CAST(:step AS interval), now(), '1970-01-01T00:00:00Z') - CAST(:back AS interval)"


def _histogram(column: str) -> str:
    """The sum of arrays, place by place; a short one has nothing at the others. To unnest them takes several times as
    long."""
    places = (f"CAST(coalesce(sum({column}[{n}]), 0) AS int8)" for n in range(1, len(BOUNDS) + 2))
    return f"ARRAY[{', '.join(places)}]"


_STATISTICS = sa.text(f"""
WITH bounds AS (
    SELECT {SINCE} AS since
), told AS (
    SELECT CAST(extract(epoch FROM at) AS float8) AS at, name, CAST(sum(succeeded) AS int8) AS succeeded,
        CAST(sum(failed) AS int8) AS failed, CAST(sum(retried) AS int8) AS retried,
        CAST(sum(crashed) AS int8) AS crashed, CAST(sum(cancelled) AS int8) AS cancelled,
        sum(run_seconds) AS run_seconds, sum(wait_seconds) AS wait_seconds,
        {_histogram("runs")} AS runs, {_histogram("waits")} AS waits
    FROM bounds, task_count c
    WHERE span = :span AND c.at >= since AND (CAST(:seen AS text[]) IS NULL OR queue = ANY(CAST(:seen AS text[])))
        AND (CAST(:queue AS text) IS NULL OR queue = :queue) AND (CAST(:name AS text) IS NULL OR name = :name)
    GROUP BY GROUPING SETS ((c.at), (name))
), codes AS (
    SELECT g.name, g.code, CAST(sum(c.failures) AS int8) AS failures
    FROM bounds, error_group g JOIN error_count c ON c.group_id = g.id
    WHERE g.last_seen_at >= since AND c.span = :span AND c.at >= since
        AND (CAST(:seen AS text[]) IS NULL OR g.queue = ANY(CAST(:seen AS text[])))
        AND (CAST(:queue AS text) IS NULL OR g.queue = :queue) AND (CAST(:name AS text) IS NULL OR g.name = :name)
    GROUP BY g.name, g.code ORDER BY failures DESC, g.name, g.code LIMIT :top
)
SELECT since, now() AS until,
    (SELECT coalesce(json_agg(told), '[]') FROM told WHERE at IS NOT NULL) AS points,
    (SELECT coalesce(json_agg(told), '[]') FROM told WHERE name IS NOT NULL) AS types,
    (SELECT coalesce(json_agg(codes), '[]') FROM codes) AS codes
FROM bounds
""")  # noqa: S608 constants only

_QUEUE_HISTORY = sa.text(f"""
SELECT since, now() AS until, at, state, total / CAST(samples AS float8) AS average, most
FROM (SELECT {SINCE} AS since) bounds
LEFT JOIN queue_sample ON queue = :queue AND span = :span AND at >= since
ORDER BY at, state
""")  # noqa: S608 constants only

_WORKER_HISTORY = sa.text(f"""
SELECT since, now() AS until, point, max(memory_bytes) AS memory_bytes, max(running) AS most_running,
    CAST(avg(running) AS float8) AS running
FROM (SELECT {SINCE} AS since) bounds
LEFT JOIN (
    SELECT *, date_bin(CAST(:step AS interval), at, '1970-01-01T00:00:00Z') AS point FROM worker_sample
    WHERE worker_id = :id
) s ON at >= since
GROUP BY since, point ORDER BY point
""")  # noqa: S608 constants only


def asked(window: Window) -> dict[str, Any]:
    """The parameters of SINCE."""
    return {"step": window.step, "back": window.length - window.step}


def of_attempts(
    conn: Connection, window: Window, *, queues: Collection[str] | None, queue: str | None, name: str | None
) -> RowMapping:
    """`since`, `until`, `points` (`at` in seconds of the epoch), `types` and `codes`, as JSON. `queues`: those that the
    caller sees; None: all."""
    values = {**asked(window), "span": window, "seen": seen(queues), "queue": queue, "name": name, "top": TOP_CODES}
    return conn.execute(_STATISTICS, values).mappings().one()


def of_queue(conn: Connection, name: str, window: Window) -> list[RowMapping]:
    """A row for each point and state: (at, state, average, most). Without any, one with `at` None, for `since`."""
    return list(conn.execute(_QUEUE_HISTORY, {**asked(window), "span": window, "queue": name}).mappings())


def of_worker(conn: Connection, worker_id: UUID, window: Window) -> list[RowMapping]:
    """A row for each point: (point, memory_bytes, running, most_running). Without any, one with `point` None."""
    return list(conn.execute(_WORKER_HISTORY, {**asked(window), "id": worker_id}).mappings())


def begins(since: datetime, window: Window) -> list[datetime]:
    """Of all points of a window."""
    return [since + n * window.step for n in range(window.length // window.step)]
