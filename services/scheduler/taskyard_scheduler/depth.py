"""Queue depth: a snapshot of the ledger every few seconds, for the API and for the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from prometheus_client import Gauge
from sqlalchemy import Connection, Row

from taskyard.domain.tasks import State
from taskyard.store.dead_letters import IS_DEAD
from taskyard.store.task_types import usual_queues
from taskyard.telemetry.metrics import Family

from .counts import Count
from .leader import Leadership
from .metrics import STATES, DepthMetrics

# So many of a queue's waiting tasks are searched for the oldest. Ids grow with time, so the head of the index holds the
# tasks that were made first; among them may be tasks that were postponed or retried, with a later `queued_at`. Fifty
# times as many that wait for a limit are passed over.
_HEAD = 1000

# One statement, hence one snapshot. Counting reads the indexes ix_task_live and ix_task_limited_queue only. What waits
# for its limit counts as blocked: no worker may take it.
_SNAPSHOT = sa.text("""
WITH waiting AS (
    SELECT queue, count(*) AS tasks FROM task WHERE limited = 'waiting' GROUP BY queue
), counted AS (
    SELECT queue, state, CAST(sum(tasks) AS int8) AS tasks FROM (
        SELECT queue, state, count(*) AS tasks FROM task WHERE finished_at IS NULL GROUP BY queue, state
        UNION ALL SELECT queue, 'queued', -tasks FROM waiting
        UNION ALL SELECT queue, 'blocked', tasks FROM waiting
    ) c GROUP BY queue, state
), known AS (
    SELECT q.name AS queue, s.state FROM queue q CROSS JOIN unnest(CAST(:states AS text[])) AS s(state)
), oldest AS (
    SELECT q.queue, (
        SELECT min(h.queued_at) FROM (
            SELECT queued_at FROM (
                SELECT id, queued_at, limited FROM task
                WHERE queue = q.queue AND state = 'queued' AND finished_at IS NULL ORDER BY id LIMIT 50 * :head
            ) r WHERE limited IS DISTINCT FROM 'waiting' ORDER BY id LIMIT :head
        ) h) AS at
    FROM (SELECT queue FROM known UNION SELECT queue FROM counted) q
), gone AS (
    DELETE FROM queue_depth d
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.queue = d.queue AND k.state = d.state)
      AND NOT EXISTS (SELECT FROM counted c WHERE c.queue = d.queue AND c.state = d.state)
)
INSERT INTO queue_depth AS d (queue, state, tasks, oldest_at, taken_at)
SELECT queue, state, coalesce(c.tasks, 0),
    CASE WHEN state = 'queued' THEN (SELECT o.at FROM oldest o WHERE o.queue = queue_of.queue) END, now()
FROM (SELECT queue, state FROM known UNION SELECT queue, state FROM counted) queue_of
LEFT JOIN counted c USING (queue, state)
ORDER BY queue, state
ON CONFLICT (queue, state) DO UPDATE
SET tasks = excluded.tasks, oldest_at = excluded.oldest_at, taken_at = excluded.taken_at
RETURNING queue, state, tasks, oldest_at
""")

_WORKERS = sa.text("""
SELECT q.queue, count(*) AS workers FROM worker w CROSS JOIN unnest(w.queues) AS q(queue)
WHERE w.lost_at IS NULL AND w.stopped_at IS NULL AND w.drain_asked_at IS NULL
    AND w.beat_at > now() - CAST(:lease AS interval)
GROUP BY q.queue
""")

_PAUSED = sa.text("SELECT name FROM queue WHERE paused_at IS NOT NULL")

# Of each queue and type so many at most; a walk from pair to pair, and index ix_task_dead_letter only.
MOST_DEAD_LETTERS = 10_000

_DEAD_LETTERS = sa.text(f"""
WITH RECURSIVE pair AS (
    (SELECT queue, name FROM task t WHERE {IS_DEAD} ORDER BY queue, name LIMIT 1)
    UNION ALL
    SELECT n.queue, n.name FROM pair p CROSS JOIN LATERAL (
        SELECT queue, name FROM task t
        WHERE {IS_DEAD} AND (queue, name) > (p.queue, p.name) ORDER BY queue, name LIMIT 1
    ) n
)
SELECT p.queue, p.name, c.tasks FROM pair p CROSS JOIN LATERAL (
    SELECT count(*) AS tasks FROM (
        SELECT FROM task t WHERE {IS_DEAD} AND queue = p.queue AND name = p.name LIMIT :most
    ) d
) c
""")  # noqa: S608 constants only

_RETURNED = sa.text("SELECT queue, count(*) AS groups FROM error_group WHERE returned_at IS NOT NULL GROUP BY queue")

_DEAD_LETTERS_EVERY = timedelta(seconds=30)
# A million live tasks take a third of a second at worst.
PATIENCE = timedelta(seconds=10)


class Depth:
    """Counts, and shows the last counts of this term until there are others. A scrape never waits for the ledger."""

    def __init__(
        self,
        leadership: Leadership,
        metrics: DepthMetrics,
        *,
        lease: timedelta,
        patience: timedelta = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._metrics = metrics
        self._lease = lease
        make = partial(Count, leadership=leadership, failures=metrics.failures, patience=patience, clock=clock)
        self._queues = make("queues")
        self._dead_letters = make("dead_letters", every=_DEAD_LETTERS_EVERY)

    def turn(self) -> None:
        """Raises LeadershipLost and LedgerUnavailable."""
        term, at = self._leadership.require_term(), time.time()
        if (counted := self._queues.make(self._count_queues)) is not None:
            self._export(*counted)
            self._metrics.queues_counted(term, at)
        if (found := self._dead_letters.make(_count_dead_letters)) is not None:
            dead, returned, types = found
            self._metrics.know(types)
            _set(self._metrics.dead_letters, [((row.queue, row.name), row.tasks) for row in dead])
            _set(self._metrics.errors_returned, [(row.queue, row.groups) for row in returned])
            self._metrics.dead_letters_counted(term)

    def _count_queues(self, conn: Connection) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]], Sequence[str]]:
        workers = conn.execute(_WORKERS, {"lease": self._lease}).all()
        return self.snapshot(conn), workers, conn.execute(_PAUSED).scalars().all()

    @staticmethod
    def snapshot(conn: Connection) -> Sequence[Row[Any]]:
        """Writes queue_depth; returns rows of (queue, state, tasks, oldest_at)."""
        return conn.execute(_SNAPSHOT, {"states": list(STATES), "head": _HEAD}).all()

    def _export(self, rows: Sequence[Row[Any]], workers: Sequence[Row[Any]], paused: Sequence[str]) -> None:
        _set(self._metrics.tasks, [((row.queue, row.state), row.tasks) for row in rows])
        _set(self._metrics.workers, [(row.queue, row.workers) for row in workers])
        _set(self._metrics.paused, [(name, 1) for name in paused])
        oldest: dict[Any, float] = dict.fromkeys(self._metrics.oldest, 0.0)
        for row in rows:
            if row.state == State.QUEUED and row.oldest_at is not None:
                key = self._metrics.oldest.key(row.queue)
                at = row.oldest_at.timestamp()
                oldest[key] = min(oldest.get(key) or at, at)
        for key, at in oldest.items():
            self._metrics.oldest[key].set(at)


def _count_dead_letters(conn: Connection) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]], dict[str, str]]:
    dead = conn.execute(_DEAD_LETTERS, {"most": MOST_DEAD_LETTERS}).all()
    return dead, conn.execute(_RETURNED).all(), usual_queues(conn)


def _set(family: Family[Gauge], counts: Sequence[tuple[Any, int]]) -> None:
    """Sets each gauge to the sum of its counts, and those without a count to 0."""
    totals = dict.fromkeys(family, 0)
    for labels, count in counts:
        key = family.key(labels)
        totals[key] = totals.get(key, 0) + count
    for key, total in totals.items():
        family[key].set(total)
