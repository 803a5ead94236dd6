"""Many tasks are cancelled at a time, by their ids or by a filter, and what waits in a queue is purged.

A call cancels as `cancel_task` does, with all that the tasks submitted. It takes up to 1,000 tasks: their rows are
locked no longer than that takes, and a worker that wants to claim one of them waits for a moment only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import WAITING
from ..store import audit, live_tasks
from ..store.audit import Action, Actor
from ..store.live_tasks import Wanted
from .cancel import cancel, cancel_descendants, hold_families
from .committed import Committed, together

MOST_AT_ONCE = 1000
# The conditions of a caller's filter, which the audit row repeats, without the tag's value.
_FILTERS = ("name", "queue", "tag", "workflow_id", "created_after", "created_before")


def cancel_tasks(conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE) -> Committed[list[UUID]]:
    """The oldest `limit` of them are cancelled, or asked to end; answers which. Those that had been asked before do not
    count, and neither does what they had submitted."""
    done = _cancel(conn, wanted, by, limit)
    if done.answer:
        told: dict[str, Any] = {"changed": len(done.answer), "ids": done.answer}
        if wanted.ids is None:
            asked = {name: getattr(wanted, name) for name in _FILTERS}
            told["filter"] = {name: value for name, value in asked.items() if value is not None}
            if wanted.tag is not None:
                told["filter"]["tag"] = audit.HIDDEN
            told["filter"]["state"] = sorted(wanted.states)
        audit.record(conn, by, Action.TASKS_CANCEL, **told)
    return done


def waiting_in(queue: str) -> Wanted:
    """What a purge takes: not what runs."""
    return Wanted(queue=queue, states=WAITING)


def purge(conn: Connection, queue: str, *, by: Actor, limit: int = MOST_AT_ONCE) -> Committed[list[UUID]]:
    """The oldest `limit` that wait in the queue are cancelled; answers which."""
    done = _cancel(conn, waiting_in(queue), by, limit)
    if done.answer:
        audit.record(conn, by, Action.QUEUE_PURGE, queue, changed=len(done.answer), ids=done.answer)
    return done


def _cancel(conn: Connection, wanted: Wanted, by: Actor, limit: int) -> Committed[list[UUID]]:
    chosen = live_tasks.choose(conn, wanted, limit=limit)
    hold_families(conn, chosen)
    # Again behind the lock: a worker may have claimed some of them, and whoever wanted what waits did not want those.
    ids = live_tasks.choose(conn, replace(wanted, ids=chosen), limit=limit)
    asked = cancel(conn, ids, actor=by.name)
    followed = cancel_descendants(conn, ids, actor=by.name)
    return together([asked, followed], [c.change.task_id for c in asked.answer if not c.is_repeated])
