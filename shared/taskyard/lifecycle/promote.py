"""promote and expire: what time does to waiting tasks (the leader's work)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from .finish import Recorded, recorded

# SKIP LOCKED: a task that somebody cancels this very moment is looked at again in the next pass.
_PROMOTE = sa.text("""
WITH due AS (
    SELECT id FROM task WHERE due_at <= now() ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE task t SET state = 'queued', due_at = NULL, queued_at = now(), publication = t.publication + 1
    FROM due d WHERE t.id = d.id
    RETURNING t.id, t.name, t.queue, t.state, t.attempt, t.publication, t.workflow_id
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM moved HAVING count(*) > 0 RETURNING id
)
SELECT m.*, (SELECT id FROM boxed) AS outbox_id FROM moved m ORDER BY m.id
""")

_NEXT_DUE = sa.text("SELECT min(due_at) FROM task WHERE due_at IS NOT NULL")

_EXPIRE = sa.text("""
WITH old AS (
    SELECT id FROM task
    WHERE expires_at <= now() AND expires_at IS NOT NULL AND finished_at IS NULL AND state <> 'running'
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE task t SET state = 'failed', due_at = NULL, finished_at = now(),
        error = jsonb_build_object('code', 'expired', 'type', 'Expired', 'retryable', true, 'attempt', t.attempt,
            'message', format('It was not finished by %s. Retry it where it is still wanted.',
                to_char(t.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
    FROM old o WHERE t.id = o.id
    RETURNING t.id, t.name, t.queue, t.state, t.attempt, t.publication, t.workflow_id
), told AS (
    INSERT INTO task_event (task_id, attempt, kind) SELECT id, attempt, 'expired' FROM ended
), freed AS (
    DELETE FROM unique_key u USING ended e WHERE u.task_id = e.id
)
SELECT e.*, CAST(NULL AS bigint) AS outbox_id FROM ended e ORDER BY e.id
""")


def promote(conn: Connection, *, limit: int = 1000) -> Recorded:
    """Scheduled and retrying tasks whose time has come become queued."""
    return recorded(conn.execute(_PROMOTE, {"limit": limit}).all())


def next_due(conn: Connection) -> datetime | None:
    """When the next waiting task is due, by PostgreSQL's clock."""
    found = conn.execute(_NEXT_DUE).scalar()
    return found if isinstance(found, datetime) else None


def expire(conn: Connection, *, limit: int = 1000) -> Recorded:
    """Waiting tasks past their `expires_at` fail with code `expired`."""
    return recorded(conn.execute(_EXPIRE, {"limit": limit}).all())
