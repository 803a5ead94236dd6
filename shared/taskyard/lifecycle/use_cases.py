"""What people ask for, over HTTP or at a command line: verbs together with their row in the audit log.

Each use case belongs into one transaction (`ledger.run_transaction`, by way of `commit`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import FINAL, Change
from ..store import audit
from ..store.audit import Action, Actor
from ..store.dead_letters import Wanted
from .cancel import Cancellation, cancel, cancel_descendants
from .committed import Committed, together
from .retry import MOST_AT_ONCE, Handled, discard, replay, retry

# So many descendants are named in the audit row of a cancellation.
_NAMED = 1000
# The conditions of a caller's filter, which the audit row repeats.
_FILTERS = ("name", "queue", "code", "created_after", "created_before")


def cancel_task(conn: Connection, task_id: UUID, *, by: Actor) -> Committed[Cancellation | None]:
    """The task is cancelled, or asked to end, and so is what it submitted. Answers what was found, None where there is
    no such task.
    """
    asked = cancel(conn, [task_id], actor=by.name)
    if not asked.answer:
        return Committed(None)
    (found,) = asked.answer
    if found.before in FINAL:
        return asked.answering(found)
    followed = cancel_descendants(conn, task_id, actor=by.name)
    if followed.answer or not found.is_repeated:
        told: dict[str, Any] = {**_told(found.change), "before": found.before}
        if followed.answer:
            told["followed"] = followed.answer[:_NAMED]
        audit.record(conn, by, Action.TASK_CANCEL, task_id, **told)
    return together([asked, followed], found)


def retry_task(conn: Connection, task_id: UUID, *, by: Actor, life: timedelta) -> Committed[bool]:
    """A failed or cancelled task is queued again. Answers whether it was one."""
    done = retry(conn, [task_id], life=life, actor=by.name)
    for change in done.changes:
        audit.record(conn, by, Action.TASK_RETRY, task_id, **_told(change))
    return done.answering(bool(done.changes))


def replay_dead_letters(
    conn: Connection, wanted: Wanted, *, by: Actor, life: timedelta, per_second: float, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The dead letters that are wanted run again, one after the other (see `replay`)."""
    done = replay(conn, wanted, actor=by.name, life=life, per_second=per_second, limit=limit)
    return _recorded(conn, by, Action.DEAD_LETTERS_RETRY, wanted, done)


def discard_dead_letters(
    conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE
) -> Committed[Handled]:
    """The dead letters that are wanted are put away (see `discard`)."""
    done = discard(conn, wanted, actor=by.name, limit=limit)
    return _recorded(conn, by, Action.DEAD_LETTERS_DISCARD, wanted, done)


def _recorded(
    conn: Connection, by: Actor, action: Action, wanted: Wanted, done: Committed[Handled]
) -> Committed[Handled]:
    handled = done.answer
    if handled.changed:
        told: dict[str, Any] = {"matched": handled.matched, "changed": len(handled.changed), "ids": handled.changed}
        if wanted.ids is None:
            asked = {name: getattr(wanted, name) for name in _FILTERS}
            told["filter"] = {name: value for name, value in asked.items() if value is not None}
        audit.record(conn, by, action, **told)
    return done


def _told(change: Change) -> dict[str, Any]:
    """What the audit log says of a task besides its id."""
    return {"name": change.name, "queue": change.queue, "state": change.state}
