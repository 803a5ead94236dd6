"""Many tasks are cancelled at a time, by their ids or by a filter, and what waits in a queue is purged.

A call cancels as `cancel_task` does, with what the tasks submitted. It takes up to 1,000 tasks, and reaches 2,000 in
all (`cancel.MOST_HELD`): their rows are locked no longer than that takes, and a worker that wants to claim one of them
waits for a moment only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
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
_FILTERS = ("name", "queue", "tag", "workflow_id", "operation_id", "created_after", "created_before")


@dataclass(frozen=True, slots=True)
class Some:
    """`ids`: which were cancelled, or asked to end. `has_more`: whether others match."""

    ids: list[UUID]
    has_more: bool


def cancel_tasks(conn: Connection, wanted: Wanted, *, by: Actor, limit: int = MOST_AT_ONCE) -> Committed[Some]:
    """The oldest `limit` of them are cancelled, or asked to end. Those that had been asked before are left alone: they
    would stand in the way of the others for as long as they run."""
    done = _cancel(conn, wanted, by, limit)
    if ids := done.answer.ids:
        told: dict[str, Any] = {"changed": len(ids), "ids": ids}
        if wanted.ids is None:
            asked = {name: getattr(wanted, name) for name in _FILTERS}
            told["filter"] = {name: value for name, value in asked.items() if value is not None}
            if wanted.tag is not None:
                told["filter"]["tag"] = audit.HIDDEN
            told["filter"]["state"] = sorted(wanted.states)
        audit.record(conn, by, Action.TASKS_CANCEL, **told)
    return done


def waiting_in(queue: str, until: datetime | None = None) -> Wanted:
    """What a purge takes: not what runs, nor what was submitted later than `until`."""
    return Wanted(queue=queue, states=WAITING, created_before=until)


def purge(
    conn: Connection, queue: str, *, by: Actor, until: datetime | None = None, limit: int = MOST_AT_ONCE
) -> Committed[list[UUID]]:
    """The oldest `limit` that wait in the queue are cancelled; answers which."""
    done = _cancel(conn, waiting_in(queue, until), by, limit)
    if ids := done.answer.ids:
        audit.record(conn, by, Action.QUEUE_PURGE, queue, changed=len(ids), ids=ids)
    return done.answering(ids)


def _cancel(conn: Connection, wanted: Wanted, by: Actor, limit: int) -> Committed[Some]:
    wanted = replace(wanted, is_unasked=True)
    found = live_tasks.choose(conn, wanted, limit=limit + 1)
    chosen = found[:limit]
    hold_families(conn, chosen)
    # Again behind the lock: a worker may have claimed some of them, and whoever wanted what waits did not want those.
    ids = live_tasks.choose(conn, replace(wanted, ids=chosen), limit=limit)
    asked = cancel(conn, ids, actor=by.name, operation=by.operation)
    followed = cancel_descendants(conn, ids, actor=by.name)
    changed = [c.change.task_id for c in asked.answer if not c.is_repeated]
    return together([asked, followed], Some(changed, len(found) > limit))
