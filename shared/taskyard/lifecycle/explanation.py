"""Why a task is where it is: the facts, read for one task at a time. The API tells them in words.

Everything is bounded: the tasks before it in its queue are counted up to `MOST_AHEAD`, over ix_task_live, and those
of the queue that wait for a limit as far, over ix_task_limited_queue.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.tasks import State
from ..store.beats import HAS_BEGUN
from ..store.reads import AND_PROGRESS, PROGRESS, seen
from .claim import CONDITIONS, RUNS_SOMEWHERE
from .limit_holders import HeldLimit, limits_waited_for

MOST_AHEAD = 10_000
SHOWN_STEPS = 20
SHOWN_ATTEMPTS = 50
# The rate of a queue is that of these last minutes.
_RATE_WINDOW = timedelta(minutes=5)
# The relay takes over what its committer has not published within ten seconds.
_BEHIND = timedelta(seconds=15)

# No particular worker asks here: whether the type is known is a question to all that live, and what only an asking
# worker refuses never refuses.
_OF_ANY_WORKER = {**CONDITIONS, "unknown": RUNS_SOMEWHERE}
_ASKED: dict[str, Any] = {"worker_id": None, "queues": None, "apart": False, "slowed": []}
_HINDRANCES = ", ".join(f"CASE WHEN NOT {sql} THEN '{reason}' END" for reason, sql in _OF_ANY_WORKER.items())

# `behind_since`: who sees only some queues (`:seen`) is not told when a task of another one was submitted.
_FACTS = sa.text(f"""
SELECT t.id, t.name, t.queue, t.state, t.version, t.attempt, t.max_attempts, t.failures, t.crashes, t.run_at, t.due_at,
    t.queued_at, t.expires_at, t.started_at, t.finished_at, t.cancel_requested_at, t.discarded_at, t.worker, t.error,
    t.partial, t.put_offs, t.soft_timeout_seconds, t.hard_timeout_seconds, now() AS read_at, {PROGRESS},
    array_remove(ARRAY[{_HINDRANCES}], NULL) AS hindrances,
    q.paused_at, fleet.serving, fleet.draining, fleet.newest, line.ahead, held.back, held.back_before,
    rate.finished, rate.seconds AS rated_seconds,
    steps.waits_for, beat.silent_seconds, beat.is_alive, beat.has_begun,
    CASE WHEN CAST(:seen AS text[]) IS NULL OR behind.since IS NULL THEN behind.since ELSE t.queued_at END
        AS behind_since,
    behind.is_late OR EXISTS (SELECT FROM leader WHERE broker_lost_at IS NOT NULL) AS is_behind,
    EXISTS (SELECT FROM leader WHERE expires_at > now()) AS leads,
    (SELECT e.data ->> 'reason' FROM task_event e
        WHERE t.put_offs > 0 AND t.state = 'scheduled' AND e.task_id = t.id AND e.kind = 'put_off'
        ORDER BY e.id DESC LIMIT 1) AS put_off_for
FROM task t {AND_PROGRESS}
LEFT JOIN queue q ON q.name = t.queue
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE w.state <> 'draining') AS serving,
        count(*) FILTER (WHERE w.state = 'draining') AS draining,
        max(r.version) FILTER (WHERE w.state <> 'draining') AS newest
    FROM worker w LEFT JOIN worker_type r ON r.worker_id = w.id AND r.name = t.name
    WHERE t.queue = ANY(w.queues) AND w.lost_at IS NULL AND w.stopped_at IS NULL
        AND w.beat_at > now() - CAST(:lease AS interval)
) fleet
CROSS JOIN LATERAL (SELECT count(*) AS ahead FROM (
    SELECT FROM task o WHERE t.state = 'queued' AND o.queue = t.queue AND o.state = 'queued' AND o.finished_at IS NULL
        AND o.id < t.id LIMIT :most_ahead + 1
) o) line
CROSS JOIN LATERAL (SELECT count(*) AS back, count(*) FILTER (WHERE o.id < t.id) AS back_before FROM (
    SELECT o.id FROM task o WHERE t.state = 'queued' AND o.queue = t.queue AND o.limited = 'waiting'
    LIMIT :most_ahead + 1
) o) held
CROSS JOIN LATERAL (
    SELECT CAST(sum(succeeded + failed + cancelled) AS int8) AS finished,
        CAST(extract(epoch FROM now() - min(at)) AS float8) AS seconds
    FROM task_count WHERE span = 'hour' AND at > now() - CAST(:window AS interval) AND queue = t.queue
        AND succeeded + failed + cancelled > 0
) rate
CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('task_id', n.id, 'step', n.name, 'state', n.state)) AS waits_for
    FROM (
        SELECT n.id, x.name, n.state FROM workflow_step s CROSS JOIN LATERAL unnest(s.needs) need(id)
        JOIN task n ON n.id = need.id JOIN workflow_step x ON x.task_id = n.id
        WHERE t.state = 'blocked' AND s.task_id = t.id AND n.state <> 'succeeded'
            AND (n.finished_at IS NULL OR NOT x.optional)
            AND (CAST(:seen AS text[]) IS NULL OR n.queue = ANY(CAST(:seen AS text[])))
        LIMIT :shown_steps
    ) n
) steps
LEFT JOIN LATERAL (
    SELECT CAST(extract(epoch FROM now() - w.beat_at) AS float8) AS silent_seconds,
        w.lost_at IS NULL AND w.stopped_at IS NULL AND w.beat_at > now() - CAST(:lease AS interval) AS is_alive,
        {HAS_BEGUN} AS has_begun
    FROM worker w WHERE t.state = 'running' AND w.id = t.worker_id
) beat ON true
LEFT JOIN LATERAL (
    SELECT o.created_at AS since, o.created_at < now() - CAST(:behind AS interval) AS is_late
    FROM outbox o WHERE t.state = 'queued' ORDER BY o.id LIMIT 1
) behind ON behind.since <= t.queued_at
WHERE t.id = :id AND (CAST(:seen AS text[]) IS NULL OR t.queue = ANY(CAST(:seen AS text[])))
""")  # noqa: S608 constants only

# ix_task_attempt_task, from its end.
_ATTEMPTS = sa.text("""
SELECT attempt, outcome, worker, started_at, finished_at, retry_at, error, cause
FROM task_attempt WHERE task_id = :id ORDER BY id DESC LIMIT :shown
""")


@dataclass(frozen=True, slots=True)
class Facts:
    """`task`: its row, and what holds of it. Its `hindrances` are names of `claim.CONDITIONS`: what keeps any worker
    from claiming it. `attempts`: those that have ended, oldest first, the last `SHOWN_ATTEMPTS` of them. `redis_takes`:
    whether Redis takes messages, as far as the asking process knows."""

    task: RowMapping
    attempts: Sequence[RowMapping]
    limits: Sequence[HeldLimit]
    redis_takes: bool = True

    @property
    def is_perhaps_published(self) -> bool:
        """Whether something that was committed no later waits to be published, and it is too early to call that late:
        then `redis_takes` decides."""
        return self.task["behind_since"] is not None and not self.task["is_behind"]

    @property
    def behind_since(self) -> datetime | None:
        """Since when publishing has been behind, where it may not have reached this task."""
        is_behind = self.task["is_behind"] or not self.redis_takes
        since: datetime | None = self.task["behind_since"]
        return since if is_behind else None

    @property
    def place(self) -> int | None:
        """Of a queued task among those of its queue that wait for no limit; None where too many wait to be counted."""
        task = self.task
        if task["state"] != State.QUEUED or max(task["ahead"], task["back"]) > MOST_AHEAD:
            return None
        return int(task["ahead"] - task["back_before"] + 1)

    @property
    def seconds_to_go(self) -> float | None:
        """Until a worker takes a queued task, by the rate of its queue's last minutes; None where that is not known."""
        task, place = self.task, self.place
        if place is None or not task["finished"]:
            return None
        return float(place * task["rated_seconds"] / task["finished"])


def facts_of(
    conn: Connection, task_id: UUID, *, lease: timedelta, queues: Collection[str] | None = None
) -> Facts | None:
    """None where there is no such task, or none that the caller may see: `queues` are those that it sees (None: all).
    Workers live for `lease` after their last heartbeat."""
    values: dict[str, Any] = {
        **_ASKED,
        "id": task_id,
        "seen": seen(queues),
        "lease": lease,
        "window": _RATE_WINDOW,
        "behind": _BEHIND,
        "most_ahead": MOST_AHEAD,
        "shown_steps": SHOWN_STEPS,
    }
    task = conn.execute(_FACTS, values).mappings().first()
    if task is None:
        return None
    attempts = conn.execute(_ATTEMPTS, {"id": task_id, "shown": SHOWN_ATTEMPTS}).mappings().all()
    waits = task["state"] == State.QUEUED
    limits = limits_waited_for(conn, task_id, queues=queues, most_ahead=MOST_AHEAD) if waits else []
    return Facts(task, attempts[::-1], limits)
