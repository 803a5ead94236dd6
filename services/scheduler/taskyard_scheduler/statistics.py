"""Statistics: attempts that ended are counted, a page at a time, each page in one transaction with the mark behind it.

The mark makes it exact: a page that is begun again, by this leader or by another one, begins behind what is counted.
Claiming and finishing take no part in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from taskyard.domain.statistics import BOUNDS, Window, added

from .database_watch import DatabaseWatch
from .error_counts import count_errors
from .leader import Leadership
from .marks import SettledMark

PAGE = 20_000
# A ledger that was never counted is counted from here on.
_FIRST = timedelta(hours=1)

_LOCK = sa.text("SELECT upto FROM counted_mark WHERE name = 'attempts' FOR UPDATE")
_BEGIN = sa.text("INSERT INTO counted_mark (name, upto) VALUES ('attempts', :upto) ON CONFLICT DO NOTHING")
_MOVE = sa.text("UPDATE counted_mark SET upto = :upto WHERE name = 'attempts'")
_SINCE = sa.text("SELECT now() - CAST(:first AS interval)")
_AT = sa.text("SELECT id, finished_at FROM task_attempt WHERE id <= :id ORDER BY id DESC LIMIT 1")

# `released` and `suspected` are left out: those attempts go on, or are judged by the next one. When a task was queued
# is known until it is queued again.
_COUNT = sa.text("""
SELECT minute, queue, name, outcome,
    width_bucket(run, CAST(:bounds AS float8[])) AS run_bucket,
    width_bucket(wait, CAST(:bounds AS float8[])) AS wait_bucket,
    count(*) AS attempts, coalesce(sum(run), 0) AS run_seconds, coalesce(sum(wait), 0) AS wait_seconds
FROM (
    SELECT date_trunc('minute', a.finished_at) AS minute, a.queue, coalesce(t.name, '_other') AS name, a.outcome,
        CAST(extract(epoch FROM a.finished_at - a.started_at) AS float8) AS run,
        CASE WHEN t.attempt = a.attempt AND t.queued_at <= a.started_at
            THEN CAST(extract(epoch FROM a.started_at - t.queued_at) AS float8) END AS wait
    FROM task_attempt a LEFT JOIN task t ON t.id = a.task_id
    WHERE a.id > :after AND a.id <= :upto
        AND a.outcome IN ('succeeded', 'failed', 'retrying', 'crashed', 'cancelled')
) ended
GROUP BY 1, 2, 3, 4, 5, 6
""")
_OUTCOMES = {"retrying": "retried"}


def _summed(column: str) -> str:
    both = f"unnest(c.{column}, excluded.{column}) WITH ORDINALITY u(before, more, n)"
    return f"{column} = ARRAY(SELECT coalesce(before, 0) + coalesce(more, 0) FROM {both} ORDER BY n)"  # noqa: S608


_NUMBERS = ("succeeded", "failed", "retried", "crashed", "cancelled", "run_seconds", "wait_seconds")
_WRITE = sa.text(f"""
INSERT INTO task_count AS c (span, at, queue, name, {", ".join(_NUMBERS)}, runs, waits)
SELECT span, at, queue, name, {", ".join(_NUMBERS)}, runs, waits FROM json_to_recordset(CAST(:batch AS json))
    AS x(span text, at timestamptz, queue text, name text, succeeded int8, failed int8, retried int8, crashed int8,
        cancelled int8, run_seconds float8, wait_seconds float8, runs int8[], waits int8[])
ORDER BY span, at, queue, name
ON CONFLICT (span, at, queue, name) DO UPDATE
SET {", ".join(f"{column} = c.{column} + excluded.{column}" for column in _NUMBERS)}, {_summed("runs")},
    {_summed("waits")}
""")  # noqa: S608 constants only


class Statistics:
    def __init__(self, leadership: Leadership, database: DatabaseWatch, *, page: int = PAGE) -> None:
        self._leadership = leadership
        self._database = database
        self._page = page
        self._settled = SettledMark("task_attempt", "timeline_seq")
        self._seen: tuple[int, int] | None = None

    def turn(self) -> None:
        """Raises LeadershipLost and LedgerUnavailable."""
        seen = (self._leadership.require_term().epoch, self._database.changes)
        if self._seen != seen:
            self._settled.reset()
            self._seen = seen
        upto = self._leadership.read(self._settled.advance)
        count = partial(count_page, upto=upto, page=self._page)
        while self._leadership.leading and self._leadership.write(count):
            pass


def count_page(conn: Connection, *, upto: int, page: int) -> bool:
    """Counts the next attempts, up to the id `upto`, in a transaction; returns whether more are left."""
    after: int | None = conn.execute(_LOCK).scalar()
    if after is None:
        since = conn.execute(_SINCE, {"first": _FIRST}).scalar_one()
        conn.execute(_BEGIN, {"upto": first_before(conn, since, upto)})
        return True
    last = min(upto, after + page)
    if last <= after:
        return False
    ids = {"after": after, "upto": last}
    rows = conn.execute(_COUNT, {**ids, "bounds": list(BOUNDS)}).all()
    if rows:
        conn.execute(_WRITE, {"batch": orjson.dumps(_batch(rows)).decode()})
    count_errors(conn, **ids)
    conn.execute(_MOVE, {"upto": last})
    return last < upto


@dataclass(slots=True)
class _Tally:
    numbers: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_NUMBERS, 0))
    runs: list[int] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)

    def add(self, row: Row[Any]) -> None:
        self.numbers[_OUTCOMES.get(row.outcome, row.outcome)] += row.attempts
        self.numbers["run_seconds"] += row.run_seconds
        self.numbers["wait_seconds"] += row.wait_seconds
        self.runs = added(self.runs, _histogram(row.run_bucket, row.attempts))
        self.waits = added(self.waits, _histogram(row.wait_bucket, row.attempts))


def _histogram(bucket: int | None, count: int) -> list[int]:
    return [] if bucket is None else [*[0] * bucket, count]


def _batch(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    tallies: defaultdict[tuple[Window, datetime, str, str], _Tally] = defaultdict(_Tally)
    for row in rows:
        for span in Window:
            tallies[span, span.begin_of(row.minute), row.queue, row.name].add(row)
    return [
        {"span": span, "at": at, "queue": queue, "name": name, **t.numbers, "runs": t.runs, "waits": t.waits}
        for (span, at, queue, name), t in tallies.items()
    ]


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
