"""Analytics: requests by the minute and events of usage, and their sums by the hour.

An hour's sums hold while it has a row in `analytics_hour`; of every other hour the rows themselves are summed up. What
comes late takes its hour's row away, in its own transaction. So whoever sums an hour up first locks `usage_event` and
`request_count` in SHARE mode: what is being written is waited for, and what is written later takes the new row away.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

# Events and counts, in days. Events are taken for a day less, so that none is deleted before it was summed up.
KEPT_DAYS, TAKEN_DAYS = 31, 30
# Sums by the hour, in days.
SUMS_KEPT_DAYS = 731
# Of a bucket, by their tokens; the others are one.
TOP_MODELS = 100
OTHER = "_other"

By = Literal["hour", "day", "total"]


class RequestCount(NamedTuple):
    """The requests of one process in a minute, so far. `minute` is the Unix time of its begin, divided by 60."""

    minute: int
    method: str
    route: str
    status: int
    requests: int
    seconds: float


class UsageEvent(NamedTuple):
    id: UUID
    at: datetime
    model: str
    tokens: int


class Period(NamedTuple):
    """Whole hours: from `start` to before `end`, in buckets."""

    start: datetime
    end: datetime
    by: By


# A process writes its own rows only, with totals: what is written twice stays the same.
_COUNTS = sa.text("""
WITH unsettled AS (
    DELETE FROM analytics_hour WHERE hour = ANY(CAST(:hours AS timestamptz[]))
)
INSERT INTO request_count AS c (minute, source, method, route, status, requests, seconds)
SELECT to_timestamp(r.minute * 60), :source, r.method, r.route, r.status, r.requests, r.seconds
FROM json_to_recordset(CAST(:counts AS json))
    AS r(minute bigint, method text, route text, status smallint, requests bigint, seconds double precision)
ON CONFLICT (minute, source, method, route, status) DO UPDATE
SET requests = excluded.requests, seconds = excluded.seconds WHERE c.requests < excluded.requests
""")

_EVENTS = sa.text("""
WITH unsettled AS (
    DELETE FROM analytics_hour WHERE hour = ANY(CAST(:hours AS timestamptz[]))
)
INSERT INTO usage_event (id, at, model, tokens, submitted_by)
SELECT e.id, e.at, e.model, e.tokens, :by
FROM json_to_recordset(CAST(:events AS json)) AS e(id uuid, at timestamptz, model text, tokens bigint)
ON CONFLICT (id) DO NOTHING
""")

_BUCKETS = {
    "hour": "hour",
    "day": "date_trunc('day', hour, 'UTC')",
    "total": "CAST(:start AS timestamptz)",
}

_REQUESTS = """
WITH found AS (
    SELECT hour, method, route, status, requests, seconds FROM request_hour JOIN analytics_hour USING (hour)
    WHERE hour >= :start AND hour < :end
    UNION ALL
    SELECT date_trunc('hour', minute, 'UTC'), method, route, status, requests, seconds FROM request_count c
    WHERE minute >= :start AND minute < :end
    AND NOT EXISTS (SELECT FROM analytics_hour h WHERE h.hour = date_trunc('hour', c.minute, 'UTC'))
)
SELECT {bucket} AS start, method, route, sum(requests)::bigint AS requests,
    coalesce(sum(requests) FILTER (WHERE status BETWEEN 400 AND 499), 0)::bigint AS client_errors,
    coalesce(sum(requests) FILTER (WHERE status >= 500), 0)::bigint AS server_errors,
    sum(seconds) / sum(requests) AS mean_seconds
FROM found GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_MODELS = """
WITH found AS (
    SELECT hour, submitted_by, model, events, tokens FROM usage_hour JOIN analytics_hour USING (hour)
    WHERE hour >= :start AND hour < :end
    UNION ALL
    SELECT date_trunc('hour', at, 'UTC'), submitted_by, model, 1, tokens FROM usage_event e
    WHERE at >= :start AND at < :end
    AND NOT EXISTS (SELECT FROM analytics_hour h WHERE h.hour = date_trunc('hour', e.at, 'UTC'))
), summed AS (
    SELECT {bucket} AS start, model, sum(events) AS events, sum(tokens) AS tokens
    FROM found WHERE CAST(:owner AS text) IS NULL OR submitted_by = :owner GROUP BY 1, 2
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY start ORDER BY tokens DESC, model) AS place FROM summed
)
SELECT start, CASE WHEN place <= :top THEN model ELSE :other END AS model,
    sum(events)::bigint AS events, least(sum(tokens), 9223372036854775807)::bigint AS tokens
FROM ranked GROUP BY 1, 2, place > :top ORDER BY 1, place > :top, 4 DESC, 2
"""

_AGGREGATED_AT = sa.text("SELECT max(aggregated_at) FROM analytics_hour WHERE hour >= :start AND hour < :end")


def write_counts(conn: Connection, source: UUID, counts: Collection[RequestCount]) -> None:
    """What the process `source` has counted in these minutes, in all. May be repeated."""
    hours = {datetime.fromtimestamp(count.minute // 60 * 3600, UTC) for count in counts}
    rows = orjson.dumps([count._asdict() for count in counts]).decode()
    conn.execute(_COUNTS, {"source": source, "counts": rows, "hours": sorted(hours)})


def add_events(conn: Connection, events: Sequence[UsageEvent], *, by: str) -> None:
    """Events that the key `by` told. May be repeated."""
    hours = {hour_of(event.at) for event in events}
    rows = orjson.dumps([event._asdict() for event in events]).decode()
    conn.execute(_EVENTS, {"by": by, "events": rows, "hours": sorted(hours)})


def requests(conn: Connection, period: Period) -> list[dict[str, Any]]:
    """The requests of all callers by bucket, method and route."""
    return _summed(conn, _REQUESTS, period)


def models(conn: Connection, period: Period, *, owner: str | None = None) -> list[dict[str, Any]]:
    """The usage of models by bucket and model, of one API key or of all (None); most tokens first."""
    return _summed(conn, _MODELS, period, owner=owner, top=TOP_MODELS, other=OTHER)


def aggregated_at(conn: Connection, period: Period) -> datetime | None:
    """When an hour of the period was last summed up."""
    at: datetime | None = conn.execute(_AGGREGATED_AT, {"start": period.start, "end": period.end}).scalar()
    return at


def hour_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def whole_hours(start: datetime, end: datetime, by: By) -> Period:
    """The hours that the time touches."""
    last = hour_of(end)
    return Period(hour_of(start), last if last == end else last + timedelta(hours=1), by)


def _summed(conn: Connection, statement: str, period: Period, **more: Any) -> list[dict[str, Any]]:
    text = sa.text(statement.format(bucket=_BUCKETS[period.by]))
    found = conn.execute(text, {"start": period.start, "end": period.end, **more})
    return [dict(row) for row in found.mappings()]
