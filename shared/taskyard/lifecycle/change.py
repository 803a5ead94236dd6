"""change: a task that waits gets another queue, time, expiry or other tags.

One that is queued and gets another queue or a later time is scheduled; what is due then is queued in the same
transaction, so that it is published where it belongs now. Its message in the queue that it left wins no claim there
(`claim.CONDITIONS`, `moved`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Event, State
from ..store import audit
from ..store.audit import Action, Actor
from .committed import Committed, together
from .composer import Verb, along
from .consequences import compose


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """None: as it is."""

    queue: str | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    tags: Sequence[str] | None = None


_RUN_AT, _QUEUE = "CAST(:run_at AS timestamptz)", "CAST(:queue AS text)"
_MOVES = f"(coalesce({_QUEUE} <> t.queue, false) OR coalesce({_RUN_AT} > now(), false))"
# What was put off because no worker there runs it is due at once in another queue.
_DUE = f"""coalesce({_RUN_AT}, CASE WHEN {_QUEUE} <> t.queue AND t.put_offs > 0 THEN now() END, t.due_at, t.run_at)"""
_TIME = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""

_CHANGE = compose(
    Verb(
        name="change",
        edges=along(Event.CHANGE, Event.RESCHEDULE),
        event=f"CASE WHEN t.state = 'queued' AND {_MOVES} THEN 'reschedule' ELSE 'change' END",
        where="t.id = ANY(:ids)",
        locks={
            "due": _DUE,
            "note": f"""jsonb_strip_nulls(jsonb_build_object('by', CAST(:actor AS text), 'queue', {_QUEUE},
        'from_queue', CASE WHEN {_QUEUE} <> t.queue THEN t.queue END,
        'run_at', to_char({_RUN_AT} AT TIME ZONE 'UTC', {_TIME}),
        'expires_at', to_char(CAST(:expires_at AS timestamptz) AT TIME ZONE 'UTC', {_TIME}),
        'tags', to_jsonb(CAST(:tags AS text[]))))""",
        },
        sets={
            "queue": f"coalesce({_QUEUE}, t.queue)",
            "run_at": f"coalesce({_RUN_AT}, t.run_at)",
            "due_at": "CASE WHEN l.before IN ('scheduled', 'retrying') THEN l.due END",
            "queued_at": "CASE WHEN l.event = 'reschedule' THEN NULL ELSE t.queued_at END",
            "expires_at": f"""coalesce(CAST(:expires_at AS timestamptz), CASE WHEN t.expires_at <= {_RUN_AT}
            THEN {_RUN_AT} + CAST(:life AS interval) ELSE t.expires_at END)""",
            "tags": "coalesce(CAST(:tags AS text[]), t.tags)",
            # A time that a person names is not that of a put-off, which a new worker may cut short (`take_up`).
            "put_offs": f"CASE WHEN {_RUN_AT} IS NULL THEN t.put_offs ELSE 0 END",
        },
    )
)

_PROMOTE = compose(
    Verb(name="promote_these", edges=along(Event.PROMOTE), where="t.id = ANY(:ids) AND t.due_at <= now()")
)

# When its needs are met, a step is due as its workflow says.
_DUE_WHEN_UNBLOCKED = sa.text("""
UPDATE workflow_step SET run_at = :run_at, delay_seconds = NULL WHERE task_id = ANY(:ids)
""")


def change(
    conn: Connection, ids: Sequence[UUID], changes: Changes, *, life: timedelta, actor: str | None = None
) -> Committed[None]:
    """Waiting tasks are changed; others stay as they are. An expiry that is not changed and would come before `run_at`
    is moved to `life` behind that."""
    tags = None if changes.tags is None else list(changes.tags)
    values = {**asdict(changes), "tags": tags, "ids": list(ids), "life": life, "actor": actor}
    done = Committed.of_rows(conn.execute(_CHANGE, values).all(), None)
    done.publications.clear()  # what stays queued has been published
    if changes.run_at is not None and (blocked := [c.task_id for c in done.changes if c.state is State.BLOCKED]):
        conn.execute(_DUE_WHEN_UNBLOCKED, {"ids": blocked, "run_at": changes.run_at})
    waiting = [c.task_id for c in done.changes if c.state in {State.SCHEDULED, State.RETRYING}]
    if not waiting or (changes.queue, changes.run_at) == (None, None):
        return done
    return together([done, Committed.of_rows(conn.execute(_PROMOTE, {"ids": waiting}).all(), None)], None)


def change_task(conn: Connection, task_id: UUID, changes: Changes, *, by: Actor, life: timedelta) -> Committed[bool]:
    """One task is changed, and the audit log records it. Answers whether it waited."""
    done = change(conn, [task_id], changes, life=life, actor=by.name)
    if done.changes:
        given = {name: value for name, value in asdict(changes).items() if value is not None}
        if changes.tags is not None:
            given["tags"] = audit.HIDDEN
        audit.record(conn, by, Action.TASK_CHANGE, task_id, name=done.changes[-1].name, **given)
    return done.answering(bool(done.changes))
