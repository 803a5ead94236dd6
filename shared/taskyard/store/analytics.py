# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
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
# Those of an hour that was not summed up: its sums are to come, or people have to see why there are none.
UNSUMMED_KEPT_DAYS = 92
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

# While an hour is summed up, callers wait for so long: they hold a connection.
_PATIENCE = sa.text("SET LOCAL lock_timeout = '5s'")
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

_FOUND_REQUESTS = """
WITH found AS (
    SELECT hour, method, route, status, requests, seconds FROM request_hour JOIN analytics_hour USING (hour)
    WHERE hour >= :start AND hour < :end
    UNION ALL
    SELECT date_trunc('hour', minute, 'UTC'), method, route, status, requests, seconds FROM request_count c
    WHERE minute >= :start AND minute < :end
    AND NOT EXISTS (SELECT FROM analytics_hour h WHERE h.hour = date_trunc('hour', c.minute, 'UTC'))
)"""

_REQUESTS = f"""{_FOUND_REQUESTS}
SELECT {{bucket}} AS start, method, route, sum(requests)::bigint AS requests,
    coalesce(sum(requests) FILTER (WHERE status BETWEEN 400 AND 499), 0)::bigint AS client_errors,
    coalesce(sum(requests) FILTER (WHERE status >= 500), 0)::bigint AS server_errors,
    sum(seconds) / sum(requests) AS mean_seconds
FROM found GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_FOUND_MODELS = """
WITH found AS (
    SELECT hour, submitted_by, model, events, tokens FROM usage_hour JOIN analytics_hour USING (hour)
    WHERE hour >= :start AND hour < :end
    UNION ALL
    SELECT date_trunc('hour', at, 'UTC'), submitted_by, model, 1, tokens FROM usage_event e
    WHERE at >= :start AND at < :end
    AND NOT EXISTS (SELECT FROM analytics_hour h WHERE h.hour = date_trunc('hour', e.at, 'UTC'))
)"""

_MODELS = f"""{_FOUND_MODELS}, summed AS (
    SELECT {{bucket}} AS start, model, sum(events) AS events, sum(tokens) AS tokens
    FROM found WHERE CAST(:owner AS text) IS NULL OR submitted_by = :owner GROUP BY 1, 2
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY start ORDER BY tokens DESC, model) AS place FROM summed
)
SELECT start, CASE WHEN place <= :top THEN model ELSE :other END AS model,
    sum(events)::bigint AS events, least(sum(tokens), 9223372036854775807)::bigint AS tokens
FROM ranked GROUP BY 1, 2, place > :top ORDER BY 1, place > :top, 4 DESC, 2
"""

# Buckets by where they begin: an hour is in the one in which it begins.
_BUCKET = "width_bucket(hour, CAST(:bounds AS timestamptz[])) - 1 AS bucket"
_COURSE_OF_REQUESTS = sa.text(f"""{_FOUND_REQUESTS}
SELECT {_BUCKET}, coalesce(sum(requests) FILTER (WHERE status < 400), 0)::bigint AS answered,
    coalesce(sum(requests) FILTER (WHERE status BETWEEN 400 AND 499), 0)::bigint AS client_errors,
    coalesce(sum(requests) FILTER (WHERE status >= 500), 0)::bigint AS server_errors
FROM found GROUP BY 1
""")
_COURSE_OF_TOKENS = sa.text(f"""{_FOUND_MODELS}
SELECT {_BUCKET}, least(sum(tokens), 9223372036854775807)::bigint AS tokens
FROM found WHERE CAST(:owner AS text) IS NULL OR submitted_by = :owner GROUP BY 1
""")

_AGGREGATED_AT = sa.text("SELECT max(aggregated_at) FROM analytics_hour WHERE hour >= :start AND hour < :end")


def write_counts(conn: Connection, source: UUID, counts: Collection[RequestCount]) -> None:
    """What the process `source` has counted in these minutes, in all. May be repeated."""
    hours = {datetime.fromtimestamp(count.minute // 60 * 3600, UTC) for count in counts}
    rows = orjson.dumps([count._asdict() for count in counts]).decode()
    conn.execute(_COUNTS, {"source": source, "counts": rows, "hours": sorted(hours)})


def add_events(conn: Connection, events: Sequence[UsageEvent], *, by: str) -> None:
    """Events that the key `by` told. May be repeated. In a transaction, it raises LedgerUnavailable where it would have
    to wait for the end of an aggregation for long."""
    hours = {hour_of(event.at) for event in events}
    rows = orjson.dumps([event._asdict() for event in events]).decode()
    conn.execute(_PATIENCE)
    conn.execute(_EVENTS, {"by": by, "events": rows, "hours": sorted(hours)})


def requests(conn: Connection, period: Period) -> list[dict[str, Any]]:
    """The requests of all callers by bucket, method and route."""
    return _summed(conn, _REQUESTS, period)


def models(conn: Connection, period: Period, *, owner: str | None = None) -> list[dict[str, Any]]:
    """The usage of models by bucket and model, of one API key or of all (None); most tokens first."""
    return _summed(conn, _MODELS, period, owner=owner, top=TOP_MODELS, other=OTHER)


class Answers(NamedTuple):
    """Requests by how they were answered: with a status below 400, with one below 500, with another."""

    answered: int = 0
    client_errors: int = 0
    server_errors: int = 0


def course_of_requests(conn: Connection, period: Period, bounds: Sequence[datetime]) -> list[Answers]:
    """The requests of all callers, one entry a bound: from it to before the next one, or the end of the period."""
    found = conn.execute(_COURSE_OF_REQUESTS, {"start": period.start, "end": period.end, "bounds": list(bounds)})
    by_bucket = {row.bucket: Answers(*row[1:]) for row in found}
    return [by_bucket.get(n, Answers()) for n in range(len(bounds))]


def course_of_tokens(
    conn: Connection, period: Period, bounds: Sequence[datetime], *, owner: str | None = None
) -> list[int]:
    """The tokens of one API key or of all (None), one entry a bound."""
    values = {"start": period.start, "end": period.end, "bounds": list(bounds), "owner": owner}
    by_bucket = {row.bucket: int(row.tokens) for row in conn.execute(_COURSE_OF_TOKENS, values)}
    return [by_bucket.get(n, 0) for n in range(len(bounds))]


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
