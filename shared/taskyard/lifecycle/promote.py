"""promote and expire: what time does to waiting tasks (the leader's work)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Event, FailureKind
from .committed import Committed
from .composer import Verb, along
from .consequences import compose
from .failures import failure_sql

# SKIP LOCKED: a task that is being cancelled this very moment is looked at again in the next pass.
_PROMOTE = compose(
    Verb(
        name="promote",
        edges=along(Event.PROMOTE),
        where="t.due_at <= now()",
        order="ORDER BY t.due_at LIMIT :limit FOR UPDATE OF t SKIP LOCKED",
    )
)

_NEXT_DUE = sa.text("SELECT min(due_at) FROM task WHERE due_at IS NOT NULL")

_EXPIRED_AT = """to_char(t.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""

_EXPIRE = compose(
    Verb(
        name="expire",
        edges=along(Event.EXPIRE),
        where="t.expires_at <= now() AND t.expires_at IS NOT NULL AND t.finished_at IS NULL",
        order="ORDER BY t.expires_at LIMIT :limit FOR UPDATE OF t SKIP LOCKED",
        locks={
            "error": failure_sql(
                "expired",
                error_type="Expired",
                kind=FailureKind.TIMEOUT,
                retryable=True,
                values={"time": _EXPIRED_AT},
                attempt="t.attempt",
            )
        },
        sets={"error": "l.error"},
    )
)


def promote(conn: Connection, *, limit: int = 1000) -> Committed[int]:
    """Scheduled and retrying tasks whose time has come become queued; answers how many."""
    rows = conn.execute(_PROMOTE, {"limit": limit}).all()
    return Committed.of_rows(rows, len(rows))


def next_due(conn: Connection) -> datetime | None:
    """When the next waiting task is due, by PostgreSQL's clock."""
    found = conn.execute(_NEXT_DUE).scalar()
    return found if isinstance(found, datetime) else None


def expire(conn: Connection, *, limit: int = 1000) -> Committed[int]:
    """Waiting tasks past their `expires_at` fail with code `expired`; answers how many."""
    rows = conn.execute(_EXPIRE, {"limit": limit}).all()
    return Committed.of_rows(rows, sum(row.event == Event.EXPIRE for row in rows))
