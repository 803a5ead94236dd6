"""Queue depth: one snapshot of the ledger every few seconds, for the API and for the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from taskyard.domain.tasks import State

from .leader import Leadership, LeadershipLost
from .metrics import STATES, SchedulerMetrics

# How many of a queue's waiting tasks are looked at for the oldest. Ids grow with time, so the head of the
# index holds the tasks made first; a task that was put off or retried stands there too, with a later
# `queued_at`.
_HEAD = 1000

# One statement, hence one snapshot. Counting reads the index ix_task_live only.
_SNAPSHOT = sa.text("""
WITH counted AS (
    SELECT queue, state, count(*) AS tasks FROM task WHERE finished_at IS NULL GROUP BY queue, state
), known AS (
    SELECT q.name AS queue, s.state FROM queue q CROSS JOIN unnest(CAST(:states AS text[])) AS s(state)
), oldest AS (
    SELECT q.queue, (
        SELECT min(h.queued_at) FROM (
            SELECT queued_at FROM task
            WHERE queue = q.queue AND state = 'queued' AND finished_at IS NULL ORDER BY id LIMIT :head
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
WHERE w.lost_at IS NULL AND w.stopped_at IS NULL AND w.beat_at > now() - CAST(:lease AS interval) GROUP BY q.queue
""")

_DEAD_LETTERS = sa.text("""
SELECT queue, name, count(*) AS tasks FROM task
WHERE state = 'failed' AND discarded_at IS NULL GROUP BY queue, name
""")

_DEAD_LETTERS_EVERY_SECONDS = 30.0


class Depth:
    def __init__(
        self,
        leadership: Leadership,
        metrics: Callable[[], SchedulerMetrics],
        *,
        lease: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._leadership = leadership
        self._metrics = metrics
        self._clock = clock
        self._epoch: int | None = None
        self._count_dead_letters_at = 0.0

    def is_known(self) -> bool:
        """Whether there is a snapshot of the present term."""
        term = self._leadership.term
        return term is not None and term.epoch == self._epoch

    def turn(self) -> None:
        """Takes the snapshot and shows it."""
        term = self._leadership.term
        if term is None:
            raise LeadershipLost
        rows, workers = self._leadership.write(
            lambda conn: (self.snapshot(conn), conn.execute(_WORKERS, {"lease": self._lease}).all())
        )
        self._show(rows, workers)
        if self._epoch != term.epoch or self._clock() >= self._count_dead_letters_at:
            # Not a live row, so not in the small index: dearer, and in no hurry.
            self._show_dead_letters(self._leadership.read(lambda conn: conn.execute(_DEAD_LETTERS).all()))
            self._count_dead_letters_at = self._clock() + _DEAD_LETTERS_EVERY_SECONDS
        self._epoch = term.epoch

    @staticmethod
    def snapshot(conn: Connection) -> Sequence[Row[tuple[object, ...]]]:
        """Writes queue_depth; rows of (queue, state, tasks, oldest_at)."""
        return conn.execute(_SNAPSHOT, {"states": list(STATES), "head": _HEAD}).all()

    def _show(self, rows: Sequence[Row[tuple[object, ...]]], workers: Sequence[Row[tuple[object, ...]]]) -> None:
        metrics = self._metrics()
        tasks = dict.fromkeys(metrics.queue_tasks, 0)
        oldest: dict[Any, float] = dict.fromkeys(metrics.queue_oldest, 0.0)
        for row in rows:
            key = metrics.queue_tasks.key((row.queue, row.state))
            tasks[key] = tasks.get(key, 0) + row.tasks
            if row.state == State.QUEUED and row.oldest_at is not None:
                name = metrics.queue_oldest.key(row.queue)
                at = row.oldest_at.timestamp()
                oldest[name] = min(oldest.get(name) or at, at)
        serving = dict.fromkeys(metrics.queue_workers, 0)
        for row in workers:
            name = metrics.queue_workers.key(row.queue)
            serving[name] = serving.get(name, 0) + row.workers
        for family, found in (
            (metrics.queue_tasks, tasks),
            (metrics.queue_oldest, oldest),
            (metrics.queue_workers, serving),
        ):
            for key, value in found.items():
                family[key].set(value)

    def _show_dead_letters(self, rows: Sequence[Row[tuple[object, ...]]]) -> None:
        family = self._metrics().dead_letters
        found = dict.fromkeys(family, 0)
        for row in rows:
            key = family.key((row.queue, row.name))
            found[key] = found.get(key, 0) + row.tasks
        for key, value in found.items():
            family[key].set(value)
