"""Tasks in the ledger as time has left them, by SQL: the verbs would take as long as the tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.store import ledger

_INSERT = sa.text(
    """
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, created_at, state,
    run_at, due_at, queued_at, started_at, finished_at, error)
SELECT :id, :name, :queue, '{}', 1, 1, 2, :at, :state, :at, CASE WHEN :state = 'scheduled' THEN :at END,
    CASE WHEN :state = 'queued' THEN :at END,
    CASE WHEN :state IN ('succeeded', 'failed') THEN :at + :wait * interval '1 second' END,
    CASE WHEN :state IN ('succeeded', 'failed', 'cancelled') THEN :at + (:wait + :run) * interval '1 second' END,
    CASE WHEN :state = 'failed' THEN jsonb_build_object('code', CAST(:code AS text)) END
""".replace(":at ", "CAST(:at AS timestamptz) ").replace(":state ", "CAST(:state AS text) ")
)


def add_tasks(engine: Engine, at: datetime, *states: str, **changes: Any) -> None:
    """One task a state, submitted at that time: `name`, `queue`, seconds of `wait` and `run`, `code` of its failure."""
    values = {"name": "email.send", "queue": "default", "wait": 1.0, "run": 2.0, "code": "smtp_refused", **changes}
    rows = [{"id": new_id(), "at": at, "state": state, **values} for state in states]
    with ledger.transaction(engine) as conn:
        conn.execute(_INSERT, rows)
