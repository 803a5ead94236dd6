"""operations: a change of any number of tasks, made by a task in batches.

The task that makes it does nothing without the row that `start` writes into the audit log in the transaction of its
submit. So whoever may submit tasks gets no rights by submitting one of this type, and the batches are made in the name
of the key that asked, in the queues that it may see.

Only what fitted when the operation was asked for is changed, or what did when its preview was made: a walk comes to an
end however much is submitted or fails meanwhile, and what an attempt that died has changed does not fit any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.new_tasks import NewTask
from ..domain.tasks import State
from ..store import audit, dead_letters, live_tasks
from ..store.audit import Action, Actor
from .cancel_many import MOST_AT_ONCE, cancel_tasks
from .committed import Committed
from .replay import discard_dead_letters, replay_cancelled, replay_dead_letters, restore_dead_letters
from .submit import SubmittedTask, submit

CHANGE_TASKS = "maintenance.change_tasks"


class Kind(StrEnum):
    CANCEL = "cancel"
    RETRY = "retry"
    DISCARD = "discard"
    RESTORE = "restore"


# What each kind can be told apart by. `state` of a retry: cancelled tasks, instead of dead letters.
_OF_ALL = frozenset({"name", "queue", "created_after", "created_before", "operation_id"})
CONDITIONS = {
    Kind.CANCEL: _OF_ALL | {"state", "tag", "workflow_id"},
    Kind.RETRY: _OF_ALL | {"state", "code"},
    Kind.DISCARD: _OF_ALL | {"code"},
    Kind.RESTORE: _OF_ALL | {"code", "discarded_after", "discarded_before"},
}

Wanted = live_tasks.Wanted | dead_letters.Wanted


@dataclass(frozen=True, slots=True)
class Operation:
    """`changed`: how many earlier attempts have changed."""

    kind: Kind
    wanted: Wanted
    by: Actor
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """`last`: the id up to which the walk has come; None at its end."""

    chosen: int
    changed: int
    last: UUID | None


def wanted_of(
    kind: Kind, conditions: dict[str, Any], *, queues: Sequence[str] | None, asked_at: datetime | None = None
) -> Wanted:
    """What fits the conditions, of `CONDITIONS`, and did so at `asked_at`."""
    given = dict(conditions)
    if kind is Kind.CANCEL:
        if states := given.pop("state", None):
            given["states"] = [State(name) for name in states]
        if asked_at is not None:
            given["created_before"] = _earlier(given.get("created_before"), asked_at)
        return live_tasks.Wanted(**given, queues=queues)
    if kind is Kind.RESTORE:
        if asked_at is not None:
            given["discarded_before"] = _earlier(given.get("discarded_before"), asked_at)
        return dead_letters.Wanted(**given, discarded=True, queues=queues)
    if given.pop("state", None):
        # A step without its needs, or while others of its workflow stay cancelled, is no second chance.
        return dead_letters.Wanted(**given, cancelled=True, is_no_step=True, failed_before=asked_at, queues=queues)
    return dead_letters.Wanted(**given, failed_before=asked_at, queues=queues)


def _earlier(given: datetime | None, at: datetime) -> datetime:
    return at if given is None else min(given, at)


def start(conn: Connection, task: NewTask, *, by: Actor, as_of: datetime | None = None) -> Committed[SubmittedTask]:
    """Submits the task that makes the change, with the row that lets it. `as_of`: nothing is changed that did not fit
    then."""
    done = submit(conn, [task])
    (written,) = done.answer
    conditions = {name: value for name, value in task.params["filter"].items() if value is not None}
    told = {**conditions, "tag": audit.HIDDEN} if "tag" in conditions else conditions
    pinned = {} if as_of is None else {"as_of": as_of}
    audit.record(conn, by, Action.OPERATION_START, written.id, change=task.params["action"], filter=told, **pinned)
    return done.answering(written)


# Both were written in one transaction, so at the same time: an id that is used again is another task's.
_ASKED = sa.text("""
SELECT t.allowed_queues, a.at, a.actor, a.api_key_id, a.address, a.request_id, a.on_behalf_of, a.details,
    (SELECT coalesce(sum(CAST(b.details ->> 'changed' AS bigint)), 0) FROM audit b
        WHERE b.target_id = a.target_id AND b.at > a.at) AS changed
FROM task t JOIN audit a ON a.target_id = CAST(t.id AS text) AND a.action = :action AND a.at = t.created_at
WHERE t.id = :id
""")


def asked(conn: Connection, task_id: UUID, kind: Kind, conditions: dict[str, Any]) -> Operation | None:
    """The operation that this task makes; None where nobody who may has asked for it. `kind` and `conditions` are its
    parameters."""
    row = conn.execute(_ASKED, {"id": task_id, "action": str(Action.OPERATION_START)}).first()
    if row is None or row.details["change"] != kind:
        return None
    by = Actor(row.actor, row.api_key_id, row.address, row.request_id, row.on_behalf_of, operation=task_id)
    pinned = row.details.get("as_of")
    at = _earlier(None if pinned is None else datetime.fromisoformat(pinned), row.at)
    return Operation(kind, wanted_of(kind, conditions, queues=row.allowed_queues, asked_at=at), by, int(row.changed))


def count(conn: Connection, wanted: Wanted) -> int:
    if isinstance(wanted, live_tasks.Wanted):
        return live_tasks.count(conn, wanted)
    return dead_letters.count(conn, wanted)


def change(
    conn: Connection,
    operation: Operation,
    *,
    behind: UUID | None,
    life: timedelta,
    per_second: float | None,
    limit: int = MOST_AT_ONCE,
) -> Committed[Batch]:
    """Changes the next `limit` by the use case that the API has for as many: all that it writes and refuses, this does.
    `life` and `per_second` are for replays."""
    wanted, by = replace(operation.wanted, behind=behind), operation.by
    if isinstance(wanted, live_tasks.Wanted):
        ids = live_tasks.choose(conn, wanted, limit=limit)
        # Not the task that does it.
        cancelled = cancel_tasks(conn, replace(wanted, ids=[i for i in ids if i != by.operation]), by=by)
        return cancelled.answering(_batch(ids, cancelled.answer.ids, limit))
    ids = dead_letters.choose(conn, wanted, limit=limit)
    some = replace(wanted, ids=ids)
    match operation.kind:
        case Kind.RETRY:
            assert per_second is not None
            verb = replay_cancelled if some.cancelled else replay_dead_letters
            done = verb(conn, some, by=by, life=life, per_second=per_second)
        case Kind.DISCARD:
            done = discard_dead_letters(conn, some, by=by)
        case _:
            done = restore_dead_letters(conn, some, by=by)
    return done.answering(_batch(ids, done.answer.changed, limit))


def _batch(chosen: Sequence[UUID], changed: Sequence[UUID], limit: int) -> Batch:
    return Batch(len(chosen), len(changed), chosen[-1] if len(chosen) == limit else None)
