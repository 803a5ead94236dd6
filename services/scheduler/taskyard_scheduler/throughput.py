"""Throughput: finished and failed tasks per queue and minute, counted from new attempts only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from .database_watch import DatabaseWatch
from .leader import Leadership
from .marks import SettledMark

KEPT = timedelta(minutes=60)
_PAGE = 50_000
_OVERLAP = timedelta(minutes=1)

_COUNT = sa.text("""
SELECT queue, date_trunc('minute', finished_at) AS minute,
    count(*) FILTER (WHERE outcome IN ('succeeded', 'failed', 'cancelled')) AS finished,
    count(*) FILTER (WHERE outcome = 'failed') AS failed
FROM task_attempt WHERE id > :after AND id <= :upto AND finished_at >= :since
GROUP BY 1, 2
""")

# Totals, not increments: they stay right when written twice, even by two leaders.
_WRITE = sa.text("""
INSERT INTO queue_minute AS m (queue, minute, finished, failed)
SELECT queue, minute, finished, failed FROM json_to_recordset(CAST(:batch AS json))
    AS x(queue text, minute timestamptz, finished int8, failed int8)
ORDER BY queue, minute
ON CONFLICT (queue, minute) DO UPDATE SET finished = excluded.finished, failed = excluded.failed
""")

_FORGET = sa.text("DELETE FROM queue_minute WHERE minute < now() - CAST(:kept AS interval)")

# From the last minute that was counted, in full: the former leader may have died in the middle of it.
_SINCE = sa.text("""
SELECT date_trunc('minute', greatest(now() - CAST(:kept AS interval),
    coalesce((SELECT max(minute) FROM queue_minute), '-infinity')))
""")

_AT = sa.text("SELECT id, finished_at FROM task_attempt WHERE id <= :id ORDER BY id DESC LIMIT 1")


class Throughput:
    def __init__(self, leadership: Leadership, database: DatabaseWatch) -> None:
        self._leadership = leadership
        self._database = database
        self._settled = SettledMark("task_attempt", "timeline_seq")
        self._seen: tuple[int, int] | None = None
        self._after = 0
        self._since = datetime.max.replace(tzinfo=UTC)
        self._totals: dict[tuple[str, datetime], tuple[int, int]] = {}

    def turn(self) -> None:
        term = self._leadership.require_term()
        if self._seen != (term.epoch, self._database.changes):
            self._begin()
            self._seen = (term.epoch, self._database.changes)
        upto = self._leadership.read(self._settled.advance)
        while self._after < upto and self._leadership.leading:
            page = min(upto, self._after + _PAGE)
            self._count(page)
            self._after = page
        self._leadership.write(lambda conn: conn.execute(_FORGET, {"kept": KEPT}))

    def _begin(self) -> None:
        self._settled.reset()
        self._totals = {}
        upto = self._leadership.read(self._settled.advance)
        self._since = self._leadership.read(lambda conn: conn.execute(_SINCE, {"kept": KEPT}).scalar_one())
        self._after = self._leadership.read(lambda conn: first_before(conn, self._since - _OVERLAP, upto))

    def _count(self, upto: int) -> None:
        values = {"after": self._after, "upto": upto, "since": self._since}
        rows = self._leadership.read(lambda conn: conn.execute(_COUNT, values).all())
        if not rows:
            return
        touched = {}
        for row in rows:
            finished, failed = self._totals.get((row.queue, row.minute), (0, 0))
            touched[row.queue, row.minute] = finished + row.finished, failed + row.failed
        batch = [
            {"queue": queue, "minute": minute, "finished": finished, "failed": failed}
            for (queue, minute), (finished, failed) in touched.items()
        ]
        self._leadership.write(lambda conn: conn.execute(_WRITE, {"batch": orjson.dumps(batch).decode()}))
        totals = self._totals | touched
        newest = max(minute for _, minute in totals)
        self._totals = {key: total for key, total in totals.items() if key[1] > newest - KEPT}


def first_before(conn: Connection, moment: datetime, upto: int) -> int:
    """An id below which attempts ended before `moment`, by binary search: ids follow time closely enough."""
    low, high = 0, upto
    while low < high:
        middle = (low + high + 1) // 2
        row = conn.execute(_AT, {"id": middle}).first()
        if row is None or row.finished_at < moment:
            low = middle
        else:
            # Between the row and the middle there are only gaps: events share the sequence.
            high = min(middle, row.id) - 1
    return low
