"""Every verb on a real row in every state does what the transition table says, and nothing else."""

from __future__ import annotations

import itertools
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import (
    FINAL,
    TRANSITIONS,
    WAITING,
    Cancelled,
    Event,
    Failed,
    Outcome,
    Released,
    RetryIn,
    State,
    Succeeded,
)
from taskyard.lifecycle import cancel, finish, rescue

from .moves import MOVES, Move, limited
from .rows import FAULT, PAST, Worker, events, outbox, put, read

# A request to cancel is what `cancel` does to a task that runs (see below): what waits it ends. Likewise `change` gives
# what is not queued another time without an event of its own.
OTHERS = {Event.UNBLOCK, Event.REQUEST_CANCEL, Event.RESCHEDULE}
VERBS: dict[Event, Move] = {event: verb for event, verb in MOVES.items() if event not in OTHERS}


def test_every_event_but_those_of_workflows_has_its_verb() -> None:
    assert set(Event) - set(VERBS) == OTHERS


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, VERBS)))
def test_a_verb_moves_a_task_as_the_table_says(conn: Connection, worker: Worker, state: State, event: Event) -> None:
    columns = {"expires_at": sa.func.now() + PAST} if event is Event.EXPIRE else {}
    columns |= {"discarded_at": sa.func.now()} if event is Event.RESTORE and state is State.FAILED else {}
    columns |= limited(state, event) if event is Event.GRANT else {}
    task_id = put(conn, state, worker_id=worker.id, due=PAST, **columns)
    bystander = put(conn, State.QUEUED if event is not Event.CLAIM else State.RUNNING, worker_id=worker.id)
    before, other = read(conn, task_id), read(conn, bystander)

    VERBS[event](worker, task_id)

    row, expected = read(conn, task_id), TRANSITIONS.get((state, event))
    if expected is None:
        assert row == before
        assert not outbox(conn)
        assert not events(conn, task_id)
        return
    assert row.state == expected
    assert read(conn, bystander) == other
    published = expected is State.QUEUED and (state is not expected or event is Event.GRANT)
    assert row.publication == before.publication + published
    assert list(outbox(conn).values()) == ([{task_id}] if published else [])
    assert (row.queued_at is not None) or not published
    assert row.attempt >= before.attempt
    assert (row.finished_at is not None) == (expected in FINAL)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(
    "outcome", [Succeeded(1), Failed(FAULT), RetryIn(FAULT, timedelta(0)), Cancelled(), Released("x")]
)
def test_a_stale_claim_writes_nothing_in_any_state(
    conn: Connection, worker: Worker, state: State, outcome: Outcome
) -> None:
    task_id = put(conn, state, worker_id=worker.id)
    before = read(conn, task_id)
    won = finish.finish(conn, [finish.Finished(task_id, uuid4(), outcome, 0.5)])
    lost = rescue.lose(conn, [rescue.Lost(task_id, uuid4(), rescue.Guilt.GUILTY, "x")])
    assert not won.changes
    assert not lost.changes
    assert read(conn, task_id) == before
    assert not conn.execute(sa.text("SELECT FROM task_attempt")).all()


@pytest.mark.parametrize("state", list(State))
def test_cancel_says_what_it_found_and_what_it_left(conn: Connection, worker: Worker, state: State) -> None:
    task_id = put(conn, state, worker_id=worker.id)
    (said,) = cancel.cancel(conn, [task_id, uuid4()], actor="ci").answer
    assert said.before is state
    row = read(conn, task_id)
    assert said.change.state == row.state
    assert (row.cancel_requested_at is not None) == (state not in FINAL)
    assert row.state == (State.CANCELLED if state in WAITING else state)


@pytest.mark.parametrize(("one", "other"), list(itertools.product(State, State)))
def test_the_database_itself_refuses_a_row_that_fits_no_state(
    conn: Connection, worker: Worker, one: State, other: State
) -> None:
    """What belongs to a state (claim, due time, end) cannot be left behind when the state alone is changed."""

    def belongings(state: State) -> tuple[bool, bool, bool]:
        return state is State.RUNNING, state in {State.SCHEDULED, State.RETRYING}, state in FINAL

    task_id = put(conn, one, worker_id=worker.id)
    statement = sa.text("UPDATE task SET state = :state WHERE id = :id")
    if belongings(one) == belongings(other):
        conn.execute(statement, {"state": other, "id": task_id})
    else:
        with pytest.raises(sa.exc.IntegrityError):
            conn.execute(statement, {"state": other, "id": task_id})
