"""One move along any edge of the transition table, on a real row, by the verb that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.new_tasks import Limits
from taskyard.domain.tasks import FINAL, Cancelled, Edge, Event, Failed, Outcome, Released, RetryIn, State, Succeeded
from taskyard.domain.workflows import NewStep
from taskyard.lifecycle import (
    cancel,
    change,
    finish,
    limits,
    promote,
    put_off,
    replay,
    rescue,
    retry,
    submit,
    workflows,
)
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.composer import Verb, along
from taskyard.lifecycle.consequences import compose
from taskyard.store import dead_letters
from taskyard.store.audit import Actor

from .rows import FAULT, PAST, Worker, claim_of, hold_key, new, put, read

Move = Callable[[Worker, UUID], object]

# The end of another step brings these about (test_workflows.py); here they are walked by verbs that do nothing else.
_UNBLOCK = compose(Verb(name="unblock", edges=along(Event.UNBLOCK), where="t.id = ANY(:ids)"))
_DELAY = compose(
    Verb(name="delay", edges=along(Event.DELAY), where="t.id = ANY(:ids)", locks={"due": "now() + interval '1 minute'"})
)
_BLOCK = compose(Verb(name="block", edges=along(Event.BLOCK, out_of=FINAL), where="t.id = ANY(:ids)"))
_CI = Actor("ci")
LIMITS = Limits("k", concurrent=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)
_DAY = timedelta(days=1)
CALLBACK = {"url": "https://receiver.test/", "endpoint_id": str(new_id()), "on": ["final"], "told": True}


def ends(outcome: Outcome) -> Move:
    def move(worker: Worker, task_id: UUID) -> object:
        end = finish.Finished(task_id, claim_of(worker.conn, task_id), outcome, 0.5)
        return finish.finish(worker.conn, [end])

    return move


def cancels(worker: Worker, task_id: UUID) -> object:
    """What waits is cancelled on the spot; what runs is asked to, and says so at its end."""
    cancel.cancel(worker.conn, [task_id])
    return ends(Cancelled())(worker, task_id)


def loses(worker: Worker, task_id: UUID) -> object:
    lost = rescue.Lost(task_id, claim_of(worker.conn, task_id), rescue.Guilt.GUILTY, "killed by signal 9")
    return rescue.lose(worker.conn, [lost])


def asserts(worker: Worker, task_id: UUID) -> object:
    claim_id, attempt = uuid4(), read(worker.conn, task_id).attempt + 1
    return assert_claims(worker.conn, [Assertion(task_id, claim_id, attempt, "w:1")], worker_id=worker.id)


def replays(worker: Worker, task_id: UUID) -> object:
    """A dead letter, or one that was cancelled."""
    return [
        verb(worker.conn, dead_letters.Wanted(ids=[task_id], cancelled=cancelled), by=_CI, life=_DAY, per_second=50)
        for verb, cancelled in ((replay.replay_dead_letters, False), (replay.replay_cancelled, True))
    ]


def submits(worker: Worker, task_id: UUID, *, limits: Limits | None = LIMITS) -> object:
    return submit.submit(worker.conn, [new(id=task_id, limits=limits)])


def grants(worker: Worker, task_id: UUID) -> object:
    worker.conn.execute(sa.text("INSERT INTO limit_mark (key) VALUES ('task:k')"))
    return limits.Granting().turn(worker.conn)


def changes(worker: Worker, task_id: UUID, **given: Any) -> object:
    return change.change(worker.conn, [task_id], change.Changes(**given), life=timedelta(days=1))


def discards(worker: Worker, task_id: UUID) -> object:
    return replay.discard_dead_letters(worker.conn, dead_letters.Wanted(ids=[task_id]), by=_CI)


def restores(worker: Worker, task_id: UUID) -> object:
    return replay.restore_dead_letters(worker.conn, dead_letters.Wanted(ids=[task_id], discarded=True), by=_CI)


def blocks(worker: Worker, task_id: UUID) -> object:
    """A new step whose need has not ended; or one that runs again."""
    conn = worker.conn
    if conn.scalar(sa.text("SELECT count(*) FROM task WHERE id = :id"), {"id": task_id}):
        return conn.execute(_BLOCK, {"ids": [task_id]})
    step = NewStep(task=new(id=task_id, workflow_id=new_id()), name="last", needs=[new_id()])
    return workflows.enter(conn, [step])


MOVES: Mapping[Event, Move] = {
    Event.SUBMIT: submits,
    Event.POSTPONE: lambda worker, task_id: submit.submit(worker.conn, [new(id=task_id, delay_seconds=60)]),
    Event.UNBLOCK: lambda worker, task_id: worker.conn.execute(_UNBLOCK, {"ids": [task_id]}),
    Event.DELAY: lambda worker, task_id: worker.conn.execute(_DELAY, {"ids": [task_id]}),
    Event.BLOCK: blocks,
    Event.PROMOTE: lambda worker, task_id: promote.promote(worker.conn),
    Event.ASSERT: asserts,
    Event.CLAIM: lambda worker, task_id: worker.claim([task_id], claim_of(worker.conn, task_id)),
    Event.HOLD_BACK: lambda worker, task_id: limits.hold_back(worker.conn, [task_id]),
    Event.GRANT: grants,
    Event.PUT_OFF: lambda worker, task_id: put_off.put_off(worker.conn, [task_id], reason="unknown"),
    Event.RELEASE: ends(Released("drained")),
    Event.LOSE: loses,
    Event.SUCCEED: ends(Succeeded({"value": 1})),
    Event.FAIL: ends(Failed(FAULT)),
    Event.BACK_OFF: ends(RetryIn(FAULT, timedelta(seconds=60))),
    Event.REQUEST_CANCEL: lambda worker, task_id: cancel.cancel(worker.conn, [task_id]),
    Event.CANCEL: cancels,
    Event.EXPIRE: lambda worker, task_id: promote.expire(worker.conn),
    Event.CHANGE: lambda worker, task_id: changes(worker, task_id, tags=["new"]),
    Event.RESCHEDULE: lambda worker, task_id: changes(worker, task_id, run_at=TOMORROW),
    Event.RETRY: lambda worker, task_id: retry.retry(worker.conn, [task_id], life=timedelta(days=1)),
    Event.REPLAY: replays,
    Event.DISCARD: discards,
    Event.RESTORE: restores,
}


def limited(state: State, event: Event) -> dict[str, Any]:
    """Columns of a task with a limit, as they stand before the event."""
    stands = {Event.GRANT: "waiting", Event.ASSERT: None, Event.LOSE: None}.get(event, "granted")
    return {"limits": asdict(LIMITS), "limited": stands if state in {State.QUEUED, State.RUNNING} else None}


def prepare(conn: Connection, worker: Worker, edge: Edge, *, hold: str, has_limit: bool = True) -> UUID:
    """A task that the edge's event can happen to, with a unique key, a spent budget, progress and a limit."""
    state, event = edge
    if state is None:
        return new_id()
    columns: dict[str, Any] = {"put_offs": 1, "callback": CALLBACK}
    if has_limit:
        columns |= limited(state, event)
    if event is Event.EXPIRE:
        columns["expires_at"] = sa.func.now() + PAST
    if event is Event.RESTORE:
        columns["discarded_at"] = sa.func.now()
    task_id = put(conn, state, worker_id=worker.id, due=PAST, **columns)
    hold_key(conn, task_id, hold, key=str(task_id))
    statement = "INSERT INTO task_progress (task_id, attempt, current) VALUES (:id, 1, 5)"
    conn.execute(sa.text(statement), {"id": task_id})
    if edge == (State.RUNNING, Event.CANCEL):
        cancel.cancel(conn, [task_id])
    return task_id


def move(worker: Worker, edge: Edge, task_id: UUID) -> None:
    MOVES[edge[1]](worker, task_id)
