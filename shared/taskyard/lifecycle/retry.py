# ruff: noqa: S608 - the statement is put together from the fragment in this file; every value is bound
"""retry: a person gives a failed or cancelled task another run, with fresh budgets; its history is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .finish import Recorded, recorded

# What a retry forgets of the runs before; their history is in attempts and timeline.
FRESH = """failures = 0, crashes = 0, suspicions = 0, put_offs = 0, finished_at = NULL, cancel_requested_at = NULL,
        discarded_at = NULL, error = NULL, result = NULL, partial = false"""

_RETRY = sa.text(f"""
WITH locked AS (
    SELECT id FROM task WHERE id = ANY(:ids) AND state IN ('failed','cancelled') ORDER BY id FOR UPDATE
), moved AS (
    UPDATE task t SET state = 'queued', run_at = now(), queued_at = now(), publication = t.publication + 1,
        {FRESH},
        expires_at = CASE WHEN t.expires_at <= now() THEN now() + CAST(:life AS interval) ELSE t.expires_at END
    FROM locked l WHERE t.id = l.id
    RETURNING t.id, t.name, t.queue, t.state, t.attempt, t.publication, t.workflow_id
), told AS (
    INSERT INTO task_event (task_id, attempt, kind, data)
    SELECT id, attempt, 'retried', jsonb_build_object('by', CAST(:actor AS text)) FROM moved ORDER BY id
), reset AS (
    DELETE FROM task_progress p USING moved m WHERE p.task_id = m.id
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM moved HAVING count(*) > 0 RETURNING id
)
SELECT m.*, (SELECT id FROM boxed) AS outbox_id FROM moved m ORDER BY m.id
""")


def retry(conn: Connection, ids: Sequence[UUID], *, life: timedelta, actor: str | None = None) -> Recorded:
    """Failed and cancelled tasks are queued again; others are missing in the answer. An `expires_at` that
    has passed is moved to `life` from now.
    """
    return recorded(conn.execute(_RETRY, {"ids": list(ids), "life": life, "actor": actor}).all())
