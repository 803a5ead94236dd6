"""Samples, once a minute: of the depths that the leader counted, and of what workers said at their last heartbeat."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.statistics import Window

from .leader import Leadership

# One sample a minute and queue, whoever leads: the longer windows take only what this statement put into the shortest.
# A count that is older says nothing of now.
_QUEUES = sa.text("""
WITH sampled AS (
    INSERT INTO queue_sample (queue, span, at, state, samples, total, most)
    SELECT queue, :shortest, date_trunc('minute', now()), state, 1, tasks, tasks FROM queue_depth
    WHERE taken_at > now() - interval '1 minute'
    ON CONFLICT DO NOTHING RETURNING queue, at, state, total
)
INSERT INTO queue_sample AS s (queue, span, at, state, samples, total, most)
SELECT queue, w.span, date_bin(w.step, at, '1970-01-01T00:00:00Z'), state, 1, total, total
FROM sampled CROSS JOIN unnest(CAST(:spans AS text[]), CAST(:steps AS interval[])) AS w(span, step)
ORDER BY 1, 2, 3, 4
ON CONFLICT (queue, span, at, state) DO UPDATE SET samples = s.samples + 1, total = s.total + excluded.total,
    most = greatest(s.most, excluded.most)
""")
_WORKERS = sa.text("""
INSERT INTO worker_sample (worker_id, at, memory_bytes, running)
SELECT id, date_trunc('minute', now()), memory_bytes, cardinality(begun) FROM worker
WHERE lost_at IS NULL AND stopped_at IS NULL AND beat_at > now() - CAST(:lease AS interval)
ON CONFLICT DO NOTHING
""")

_LONGER = [window for window in Window if window is not Window.HOUR]


class Samples:
    def __init__(self, leadership: Leadership, *, lease: timedelta) -> None:
        self._leadership = leadership
        self._lease = lease

    def turn(self) -> None:
        """Raises LeadershipLost and LedgerUnavailable."""
        self._leadership.write(self._take)

    def _take(self, conn: Connection) -> None:
        spans = {"spans": _LONGER, "steps": [window.step for window in _LONGER]}
        conn.execute(_QUEUES, {"shortest": Window.HOUR, **spans})
        conn.execute(_WORKERS, {"lease": self._lease})
