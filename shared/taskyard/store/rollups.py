"""Rollups: sums of requests and usage by the hour, made of the rows that store/analytics.py writes.

PostgreSQL sums an hour up in one transaction, whatever the number of its rows: none of them comes to Python.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from taskyard.domain.errors import TaskyardError

from .analytics import UNSUMMED_KEPT_DAYS
from .sqlstates import NO_LOCK_IN_TIME, STATEMENT_CANCELLED, Meaning, meaning, sqlstate

# The hours that are over and have rows, but no sums that hold: probes of three indexes for each hour. The oldest hour
# that is kept is left out, because retention may be about to delete its rows.
_OPEN = sa.text(f"""
SELECT hour FROM generate_series(
    date_trunc('hour', now(), 'UTC') - interval '{UNSUMMED_KEPT_DAYS} days' + interval '1 hour',
    date_trunc('hour', now(), 'UTC') - interval '1 hour', interval '1 hour') AS h(hour)
WHERE NOT EXISTS (SELECT FROM analytics_hour a WHERE a.hour = h.hour)
AND (EXISTS (SELECT FROM request_count c WHERE c.minute >= h.hour AND c.minute < h.hour + interval '1 hour')
    OR EXISTS (SELECT FROM usage_event e WHERE e.at >= h.hour AND e.at < h.hour + interval '1 hour'))
ORDER BY hour
""")  # noqa: S608 - made of a constant

# Behind a lock that is waited for, all writers of usage wait.
_PATIENCE = sa.text("SET LOCAL lock_timeout = '2s'")
# Two runs would insert the same sums: SHARE does not keep one from the other, so they go one after the other.
_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('taskyard analytics', 0))")
_WAIT_FOR_WRITERS = sa.text("LOCK TABLE usage_event, request_count IN SHARE MODE")
_HOLDS = sa.text("SELECT FROM analytics_hour WHERE hour = :hour")
_FORGET = (
    sa.text("DELETE FROM request_hour WHERE hour = :hour"),
    sa.text("DELETE FROM usage_hour WHERE hour = :hour"),
)
_SUM_REQUESTS = sa.text("""
INSERT INTO request_hour (hour, method, route, status, requests, seconds)
SELECT :hour, method, route, status, sum(requests), sum(seconds) FROM request_count
WHERE minute >= :hour AND minute < CAST(:hour AS timestamptz) + interval '1 hour' GROUP BY method, route, status
""")
# Callers choose the tokens of an event: the sum of many may be more than a bigint holds.
_SUM_USAGE = sa.text("""
INSERT INTO usage_hour (hour, submitted_by, model, events, tokens)
SELECT :hour, submitted_by, model, count(*), least(sum(tokens), 9223372036854775807) FROM usage_event
WHERE at >= :hour AND at < CAST(:hour AS timestamptz) + interval '1 hour' GROUP BY submitted_by, model
""")
_HOLD = sa.text("INSERT INTO analytics_hour (hour, aggregated_at) VALUES (:hour, clock_timestamp())")


class NotSummed(TaskyardError):
    """PostgreSQL could not sum an hour up; it may well do so with others."""


def open_hours(conn: Connection) -> list[datetime]:
    """The hours to sum up, oldest first: 2,207 at most. What came late for an hour has opened it again."""
    return list(conn.execute(_OPEN).scalars())


def sum_up(conn: Connection, hour: datetime) -> bool:
    """Replaces the sums of the hour by those of its rows; False where another run has done it meanwhile. Call it in a
    transaction of its own: until its end, whoever writes requests or usage waits.

    Raises NotSummed where this hour fails or a lock is not to be had in time, which undoes nothing of earlier hours;
    LedgerUnavailable where PostgreSQL does not answer.
    """
    try:
        return _summed_up(conn, hour)
    except DBAPIError as e:
        is_away = meaning(e) is Meaning.AWAY
        if is_away and sqlstate(e) not in (NO_LOCK_IN_TIME, STATEMENT_CANCELLED):
            raise
        raise NotSummed(str(e.orig).splitlines()[0]) from e


def _summed_up(conn: Connection, hour: datetime) -> bool:
    conn.execute(_ONE_AT_A_TIME)
    conn.execute(_PATIENCE)
    conn.execute(_WAIT_FOR_WRITERS)
    values = {"hour": hour}
    if conn.execute(_HOLDS, values).first() is not None:
        return False
    for statement in (*_FORGET, _SUM_REQUESTS, _SUM_USAGE, _HOLD):
        conn.execute(statement, values)
    return True
