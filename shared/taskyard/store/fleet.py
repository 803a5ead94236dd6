"""Reads of the whole fleet: queues, workers, the leader of the schedulers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from .beats import LIVING_CHILDREN

# Depths come from the leader's snapshot: counting a million waiting rows takes a sixth of a second each time.
_QUEUES = sa.text("""
SELECT q.name, q.paused_at, q.concurrent, q.per_second,
    CASE WHEN q.paused_at IS NOT NULL THEN (
        SELECT actor FROM audit WHERE target_id = q.name AND action = 'queue.pause' ORDER BY id DESC LIMIT 1
    ) END AS paused_by,
    coalesce(d.depth, '{}') AS depth, d.oldest_at, d.taken_at,
    coalesce(m.finished, 0) AS finished, coalesce(m.failed, 0) AS failed,
    (SELECT count(*) FROM worker w WHERE q.name = ANY(w.queues) AND w.lost_at IS NULL AND w.stopped_at IS NULL
        AND w.drain_asked_at IS NULL AND w.beat_at > now() - CAST(:lease AS interval)) AS workers
FROM queue q
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(state, tasks) AS depth, min(oldest_at) FILTER (WHERE state = 'queued') AS oldest_at,
        max(taken_at) AS taken_at
    FROM queue_depth WHERE queue = q.name
) d ON true
LEFT JOIN (
    SELECT queue, sum(succeeded + failed + cancelled)::bigint AS finished, sum(failed)::bigint AS failed FROM task_count
    WHERE span = 'hour' AND at >= now() - CAST(:window AS interval) GROUP BY queue
) m ON m.queue = q.name
WHERE (CAST(:names AS text[]) IS NULL OR q.name = ANY(:names))
ORDER BY q.name
""")


def queues(conn: Connection, *, names: Collection[str] | None, lease: timedelta, window: timedelta) -> list[RowMapping]:
    """The queues (None: all) with their depths, and the numbers of tasks that ended within `window`."""
    wanted = None if names is None else sorted(names)
    return list(conn.execute(_QUEUES, {"names": wanted, "lease": lease, "window": window}).mappings())


# Of what waits and of what runs, in each queue: an autoscaler has started all that it may long before.
MOST_COUNTED = 10_000

# Counted at this moment, not from the snapshot: it has to be right while no scheduler leads, and while no worker runs.
# Tasks whose time has come are moved on within a second; only while nobody leads are there many, of all queues.
# `held`: what waits for a limit is queued too, but no worker may take it, and no index holds the rest of a queue alone.
# With up to `most` of those, twice as many queued ones are enough for an exact difference; beyond, the snapshot has it.
_LOAD = sa.text("""
WITH due AS (
    SELECT queue, count(*) AS tasks FROM (
        SELECT queue FROM task WHERE due_at <= now() ORDER BY due_at LIMIT :most
    ) t GROUP BY queue
), counted AS (
    SELECT CASE WHEN q.paused_at IS NOT NULL THEN 0 ELSE least(coalesce(due.tasks, 0) +
            CASE WHEN held.tasks <= :most THEN queued.tasks - held.tasks ELSE coalesce(last.tasks, 0) END, :most)
        END AS waiting,
        runs.tasks AS running
    FROM unnest(CAST(:names AS text[])) AS n(name)
    LEFT JOIN queue q ON q.name = n.name
    LEFT JOIN due ON due.queue = n.name
    LEFT JOIN queue_depth last ON last.queue = n.name AND last.state = 'queued'
    CROSS JOIN LATERAL (SELECT count(*) AS tasks FROM (
        SELECT FROM task WHERE queue = n.name AND state = 'queued' AND finished_at IS NULL LIMIT 2 * :most) t) queued
    CROSS JOIN LATERAL (SELECT count(*) AS tasks FROM (
        SELECT FROM task WHERE queue = n.name AND limited = 'waiting' LIMIT :most + 1) t) held
    CROSS JOIN LATERAL (SELECT count(*) AS tasks FROM (
        SELECT FROM task WHERE queue = n.name AND state = 'running' AND finished_at IS NULL LIMIT :most) t) runs
)
SELECT CAST(coalesce(sum(waiting), 0) AS int8) AS waiting, CAST(coalesce(sum(running), 0) AS int8) AS running,
    CAST(coalesce(sum(waiting + running), 0) AS int8) AS total,
    (SELECT count(*) FROM worker w WHERE w.queues && CAST(:names AS text[]) AND w.lost_at IS NULL
        AND w.stopped_at IS NULL AND w.drain_asked_at IS NULL
        AND w.beat_at > now() - CAST(:lease AS interval)) AS workers,
    now() AS counted_at
FROM counted
""")


def load(conn: Connection, names: Collection[str], *, lease: timedelta) -> RowMapping:
    """What waits to be run now and what runs in these queues together, and the living workers that serve any of them;
    of each queue `MOST_COUNTED` tasks of either kind at most. What waits in a paused queue or for a limit is not
    counted."""
    values = {"names": sorted(names), "lease": lease, "most": MOST_COUNTED}
    return conn.execute(_LOAD, values).mappings().one()


# The oldest of one queue, along ix_task_live.
_WAITING = sa.text("""
SELECT name, count(*) AS tasks, count(*) FILTER (WHERE limited = 'waiting') AS held, min(created_at) AS oldest_at
FROM (
    SELECT name, limited, created_at FROM task WHERE queue = :queue AND state = 'queued' AND finished_at IS NULL
    ORDER BY id LIMIT :most
) t GROUP BY name ORDER BY tasks DESC, name
""")


def waiting_types(conn: Connection, queue: str) -> list[RowMapping]:
    """The types of the oldest `MOST_COUNTED` tasks that wait in a queue, with how many of these wait for a limit."""
    return list(conn.execute(_WAITING, {"queue": queue, "most": MOST_COUNTED}).mappings())


def queue_names(conn: Connection) -> set[str]:
    return set(conn.execute(sa.text("SELECT name FROM queue")).scalars())


_IS_ALIVE = "w.lost_at IS NULL AND w.stopped_at IS NULL AND w.beat_at > now() - CAST(:lease AS interval)"

# A lost or stopped worker is shown for an hour.
_WORKERS = sa.text(f"""
SELECT w.id, w.name, w.host, w.pid, w.version, w.queues, {LIVING_CHILDREN} AS processes,
    w.processes AS processes_most, w.threads, w.memory_bytes, w.children,
    w.state, w.started_at, w.beat_at, w.lost_at, w.stopped_at, w.begun,
    w.drain_asked_at, w.restart_asked_at, w.processes_asked, w.task_types, w.attempts, w.load_average,
    {_IS_ALIVE} AS is_alive
FROM worker w
WHERE coalesce(w.lost_at, w.stopped_at, now()) > now() - interval '1 hour'
    AND (CAST(:id AS uuid) IS NULL OR w.id = :id)
    AND (CAST(:queue AS text) IS NULL OR CAST(:queue AS text) = ANY(w.queues))
    AND (CAST(:alive AS bool) IS NULL OR ({_IS_ALIVE}) = :alive)
    AND (CAST(:queues AS text[]) IS NULL OR w.queues && :queues)
    AND (CAST(:before AS uuid) IS NULL OR w.id < :before)
ORDER BY w.id DESC LIMIT :limit
""")  # noqa: S608 constants only


def workers(
    conn: Connection,
    *,
    lease: timedelta,
    queues: Collection[str] | None = None,
    worker_id: UUID | None = None,
    queue: str | None = None,
    alive: bool | None = None,
    before: UUID | None = None,
    limit: int = 200,
) -> list[RowMapping]:
    """Workers that serve one of `queues` (None: all), newest first; `queue`: those that serve it, too; `alive`: those
    whose heartbeat is not overdue, or the others."""
    values = {
        "lease": lease,
        "queues": None if queues is None else sorted(queues),
        "id": worker_id,
        "queue": queue,
        "alive": alive,
        "before": before,
        "limit": limit,
    }
    return list(conn.execute(_WORKERS, values).mappings())


_LIVING = sa.text(f"""
SELECT count(*) FROM worker w WHERE {_IS_ALIVE} AND (CAST(:queues AS text[]) IS NULL OR w.queues && :queues)
""")  # noqa: S608 constants only


def living_workers(conn: Connection, *, lease: timedelta, queues: Collection[str] | None = None) -> int:
    """How many workers live that serve one of `queues` (None: all)."""
    values = {"lease": lease, "queues": None if queues is None else sorted(queues)}
    return int(conn.execute(_LIVING, values).scalar_one())


# Through `queue`, so that the count reads running rows only (index ix_task_live).
_RUNNING = sa.text("""
SELECT count(*) FROM queue q CROSS JOIN LATERAL (
    SELECT FROM task WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
) t
WHERE (CAST(:queues AS text[]) IS NULL OR q.name = ANY(:queues))
""")


def running_tasks(conn: Connection, queues: Collection[str] | None = None) -> int:
    """How many tasks run in `queues` (None: all)."""
    return int(conn.execute(_RUNNING, {"queues": None if queues is None else sorted(queues)}).scalar_one())


# ix_task_named, from its end.
_LAST_CHECK = sa.text("""
SELECT id, queue, version, state, result, finished_at, now() - finished_at AS age FROM task
WHERE name = 'health.check' AND state IN ('succeeded', 'failed') ORDER BY id DESC LIMIT 1
""")


def last_check(conn: Connection) -> RowMapping | None:
    """The newest one that succeeded or failed."""
    return conn.execute(_LAST_CHECK).mappings().first()


_IN_QUEUES = sa.text("SELECT id FROM task WHERE id = ANY(:ids) AND queue = ANY(:queues)")


_TASKS_THAT_RUN = sa.text("""
SELECT id, name, queue, attempt, started_at FROM task
WHERE id = ANY(:ids) AND state = 'running' AND (CAST(:queues AS text[]) IS NULL OR queue = ANY(:queues))
ORDER BY started_at, id
""")


def tasks_that_run(conn: Connection, ids: Sequence[UUID], queues: Collection[str] | None) -> list[RowMapping]:
    """Those of `ids` that still run, in `queues` (None: all); the oldest start first."""
    values = {"ids": list(ids), "queues": None if queues is None else sorted(queues)}
    return list(conn.execute(_TASKS_THAT_RUN, values).mappings())


def those_in_queues(conn: Connection, ids: Sequence[UUID], queues: Collection[str]) -> set[UUID]:
    return set(conn.execute(_IN_QUEUES, {"ids": list(ids), "queues": sorted(queues)}).scalars())


# Of each outbox. A person waits: after an outage they may hold millions of rows.
MOST_WAITING = 10_000

_OUTBOX = sa.text("""
SELECT count(*) AS pending, min(created_at) AS oldest_at, now() - min(created_at) AS age FROM (
    (SELECT created_at FROM outbox ORDER BY id LIMIT :most)
    UNION ALL (SELECT created_at FROM application_outbox LIMIT :most)
) o
""")


def outbox(conn: Connection) -> RowMapping:
    """What was committed and waits to be published, counted up to `MOST_WAITING` in each of the two outboxes."""
    return conn.execute(_OUTBOX, {"most": MOST_WAITING}).mappings().one()


_LEADER = sa.text("""
SELECT holder_name, epoch, expires_at, ticked_at, expires_at > now() AS holds FROM leader ORDER BY name LIMIT 1
""")


def leader(conn: Connection) -> RowMapping | None:
    return conn.execute(_LEADER).mappings().first()
