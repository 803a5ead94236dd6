"""claim: queued -> running, for a whole fetch at once, durable before any thread sees a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task won by this claim, with all that its run needs; `waited_seconds` is its time in the queue,
    `life_left_seconds` the time until it expires."""

    id: UUID
    claim: UUID
    name: str
    queue: str
    params: dict[str, Any]
    version: int
    attempt: int
    failures: int
    max_attempts: int
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    waited_seconds: float
    tags: list[str]
    request_id: str | None
    traceparent: str | None
    submitted_by: str | None
    allowed_queues: list[str] | None
    workflow_id: UUID | None
    life_left_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A queued task that was not claimed: the worker was given up (`worker_lost`), its queue is paused
    (`paused`), no implementation of its type is here (`unknown`), it has to run alone (`suspect`), or nothing speaks
    against it any more (`open`): its queue was resumed at this moment.
    """

    id: UUID
    queue: str
    reason: str


# `t.claim = :claim OR`: a COMMIT whose answer got lost is tried again, and must find its own rows once
# more, even where the queue was paused in between. Claims require a live worker row: rescue marks it lost
# first, so a supervisor that was given up cannot win more.
_CLAIM = sa.text("""
WITH locked AS (
    SELECT t.id FROM task t
    WHERE t.id = ANY(:ids)
      AND (t.claim = :claim OR (
          t.state = 'queued' AND t.name = ANY(:types) AND (t.expires_at IS NULL OR t.expires_at > now())
          AND (t.suspicions = 0 OR :alone)
          AND NOT EXISTS (SELECT FROM queue q WHERE q.name = t.queue AND q.paused_at IS NOT NULL)))
      AND EXISTS (SELECT FROM worker w WHERE w.id = :worker_id AND w.lost_at IS NULL AND w.stopped_at IS NULL)
    ORDER BY t.id FOR UPDATE
), won AS (
    UPDATE task t SET
        state = 'running',
        attempt = CASE WHEN t.state = 'queued' THEN t.attempt + 1 ELSE t.attempt END,
        claim = :claim, worker_id = :worker_id, worker = :worker, started_at = now()
    FROM locked l WHERE t.id = l.id AND (t.state = 'queued' OR t.claim = :claim)
    RETURNING t.id, t.name, t.queue, t.params, t.version, t.attempt, t.failures, t.max_attempts,
        t.soft_timeout_seconds, t.hard_timeout_seconds,
        CAST(extract(epoch FROM now() - greatest(t.queued_at, t.run_at)) AS float8) AS waited_seconds,
        CAST(extract(epoch FROM t.expires_at - now()) AS float8) AS life_left_seconds,
        t.tags, t.request_id, t.traceparent, t.submitted_by, t.allowed_queues, t.workflow_id,
        t.unique_hold
), freed AS (
    DELETE FROM unique_key u USING won w WHERE w.unique_hold = 'waiting' AND u.task_id = w.id AND u.hold = 'waiting'
)
SELECT * FROM won ORDER BY id
""")

_REFUSED = sa.text("""
SELECT t.id, t.queue, CASE WHEN w.lives IS FALSE THEN 'worker_lost' WHEN q.paused_at IS NOT NULL THEN 'paused'
    WHEN t.name <> ALL(:types) THEN 'unknown' WHEN t.suspicions > 0 THEN 'suspect' ELSE 'open' END AS reason
FROM task t LEFT JOIN queue q ON q.name = t.queue CROSS JOIN (
    SELECT CAST(:worker_id AS uuid) IS NULL
        OR EXISTS (SELECT FROM worker WHERE id = :worker_id AND lost_at IS NULL AND stopped_at IS NULL) AS lives
) w
WHERE t.id = ANY(:ids) AND t.state = 'queued'
    AND (NOT w.lives OR q.paused_at IS NOT NULL OR t.name <> ALL(:types) OR t.suspicions > 0
        OR t.expires_at IS NULL OR t.expires_at > now())
""")


def claim(
    conn: Connection,
    ids: Sequence[UUID],
    *,
    claim: UUID,
    worker_id: UUID,
    worker: str,
    types: Sequence[str],
    alone: bool = False,
) -> list[Claimed]:
    """Claims what is queued, of a known type, not expired, in a queue that isn't paused, for a worker that
    lives. What is suspected of having ended a process is claimed only where it runs `alone`.

    Safe to repeat with the same `claim` id. What is missing from the answer was not won (see `refusals`).
    """
    rows = conn.execute(
        _CLAIM,
        {
            "ids": list(ids),
            "claim": claim,
            "worker_id": worker_id,
            "worker": worker,
            "types": list(types),
            "alone": alone,
        },
    ).mappings()
    return [Claimed(claim=claim, **{k: v for k, v in row.items() if k != "unique_hold"}) for row in rows]


def refusals(
    conn: Connection, ids: Sequence[UUID], *, types: Sequence[str], worker_id: UUID | None = None
) -> list[Refusal]:
    """Why queued tasks among `ids` were not won; tasks that are not queued (any more) are not listed."""
    rows = conn.execute(_REFUSED, {"ids": list(ids), "types": list(types), "worker_id": worker_id})
    return [Refusal(r.id, r.queue, r.reason) for r in rows]


_SUSPECTS = sa.text("""
SELECT t.id FROM task t
WHERE t.queue = ANY(:queues) AND t.state = 'queued' AND t.suspicions > 0 AND t.finished_at IS NULL
  AND t.name = ANY(:types) AND (t.expires_at IS NULL OR t.expires_at > now())
  AND NOT EXISTS (SELECT FROM queue q WHERE q.name = t.queue AND q.paused_at IS NOT NULL)
ORDER BY t.id LIMIT :limit
""")


def suspects(conn: Connection, queues: Sequence[str], *, types: Sequence[str], limit: int = 10) -> list[UUID]:
    """Queued tasks that have to run alone, the oldest first: the ledger is asked for them, not Redis."""
    rows = conn.execute(_SUSPECTS, {"queues": list(queues), "types": list(types), "limit": limit})
    return [r.id for r in rows]


_PUT_OFF = sa.text("""
WITH locked AS (
    SELECT id, now() + interval '1 second' * least(300, 5 * power(2, least(put_offs, 10))) * (0.5 + random() / 2)
        AS due
    FROM task WHERE id = ANY(:ids) AND state = 'queued' ORDER BY id FOR UPDATE
), moved AS (
    UPDATE task t SET state = 'scheduled', put_offs = t.put_offs + 1, queued_at = NULL, due_at = l.due, run_at = l.due
    FROM locked l WHERE t.id = l.id
    RETURNING t.id, t.attempt, t.due_at
), told AS (
    INSERT INTO task_event (task_id, attempt, kind, data)
    SELECT id, attempt, 'put_off', json_build_object('reason', CAST(:reason AS text),
        'until', to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) FROM moved
)
SELECT id FROM moved
""")


def put_off(conn: Connection, ids: Sequence[UUID], *, reason: str) -> list[UUID]:
    """queued -> scheduled with a backoff of 5 to 300 s: for tasks whose type nobody here knows, so that
    they don't spin between Redis and the ledger while a rolling update is under way.
    """
    return [r.id for r in conn.execute(_PUT_OFF, {"ids": list(ids), "reason": reason})]
