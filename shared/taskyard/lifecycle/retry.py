"""retry: a failed or cancelled task gets another run, with fresh budgets; its history is kept.

What people ask for is recorded in the audit log, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import Event
from ..store import audit
from ..store.audit import Action, Actor
from .committed import Committed
from .composer import Verb, along
from .consequences import compose

_RETRY = compose(
    Verb(
        name="retry",
        edges=along(Event.RETRY),
        where="t.id = ANY(:ids)",
        locks={"note": "jsonb_build_object('by', CAST(:actor AS text))"},
        sets={
            "run_at": "now()",
            "operation_id": "NULL",
            # A step that has never been unblocked has no end yet.
            "expires_at": """CASE WHEN t.expires_at <= now() THEN now() + CAST(:life AS interval)
                WHEN t.expires_at IS NULL AND t.workflow_id IS NOT NULL THEN now() + (
                    SELECT x.life_seconds FROM workflow_step x WHERE x.task_id = t.id) * interval '1 second'
                ELSE t.expires_at END""",
        },
    )
)


def retry(conn: Connection, ids: Sequence[UUID], *, life: timedelta, actor: str | None = None) -> Committed[None]:
    """Failed and cancelled tasks are queued again; others do not move. An `expires_at` that has passed is moved to
    `life` from now; a step that was cancelled before its needs were met gets the life that it was submitted with.
    """
    return Committed.of_rows(conn.execute(_RETRY, {"ids": list(ids), "life": life, "actor": actor}).all(), None)


def retry_task(conn: Connection, task_id: UUID, *, by: Actor, life: timedelta) -> Committed[bool]:
    """One task is queued again, and the audit log records it. Answers whether it had failed or was cancelled."""
    done = retry(conn, [task_id], life=life, actor=by.name)
    for change in done.changes:
        told = {"name": change.name, "queue": change.queue, "state": change.state}
        audit.record(conn, by, Action.TASK_RETRY, task_id, **told)
    return done.answering(bool(done.changes))
