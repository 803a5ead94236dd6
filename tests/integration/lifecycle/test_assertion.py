"""assert_claims: what a failover of PostgreSQL took back, a child that lives says again."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import State, Succeeded
from taskyard.lifecycle import cancel, finish, workers
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.record import record

from .rows import PAST, Worker, events, hold_key, key_holders, put, read, register


def forget_claim(conn: Connection, task_id: UUID) -> None:
    """As if the commit of the claim had not reached the standby that took over."""
    conn.execute(
        sa.text(
            "UPDATE task SET state = 'queued', claim = NULL, worker_id = NULL, attempt = attempt - 1 WHERE id = :id"
        ),
        {"id": task_id},
    )


def test_a_claim_that_a_failover_lost_is_said_again_and_its_outcome_counts(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED, attempt=2)
    (won,) = worker.claim([task_id])
    forget_claim(conn, task_id)
    end = finish.Finished(task_id, won.claim, Succeeded(1), 0.5)
    assert not finish.finish(conn, [end]).changes, "the outcome finds no claim"
    said = Assertion(task_id, won.claim, won.attempt, "w:1")
    assert assert_claims(conn, [said], worker_id=worker.id).answer == {task_id}
    row = read(conn, task_id)
    assert (row.state, row.claim, row.attempt, row.worker_id) == ("running", won.claim, 3, worker.id)
    assert events(conn, task_id) == ["claim_asserted"]
    assert finish.finish(conn, [end]).changes[0].state is State.SUCCEEDED


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
def test_a_promotion_that_was_lost_with_the_claim_does_not_matter(
    conn: Connection, worker: Worker, state: State
) -> None:
    task_id = put(conn, state, due=PAST, attempt=1)
    said = Assertion(task_id, uuid4(), 2, "w:1")
    assert assert_claims(conn, [said], worker_id=worker.id).answer == {task_id}
    assert read(conn, task_id).due_at is None


@pytest.mark.parametrize("attempt", [2, 3])
@pytest.mark.parametrize("state", [State.SCHEDULED, State.QUEUED, State.RETRYING, State.RUNNING])
def test_a_release_or_a_retry_that_was_lost_before_the_claim_does_not_matter(
    conn: Connection, worker: Worker, state: State, attempt: int
) -> None:
    """The row may even be running under the earlier claim, which nobody holds any more."""
    task_id = put(conn, state, worker_id=worker.id, due=PAST, attempt=1)
    said = Assertion(task_id, uuid4(), attempt, "w:1")
    assert assert_claims(conn, [said], worker_id=worker.id).answer == {task_id}
    row = read(conn, task_id)
    assert (row.state, row.claim, row.attempt) == ("running", said.claim, attempt)
    (note,) = conn.execute(sa.text("SELECT data FROM task_event WHERE task_id = :id"), {"id": task_id}).scalars()
    assert note == {"from_state": state, "from_attempt": 1}, "the timeline explains the jump"
    assert finish.finish(conn, [finish.Finished(task_id, said.claim, Succeeded(1), 0.5)]).changes


def test_an_end_counts_whose_task_the_ledger_takes_for_an_earlier_attempt(conn: Connection, worker: Worker) -> None:
    """It came after the failover and before the next heartbeat."""
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    said = Assertion(task_id, uuid4(), 2, "w:1")
    end = finish.Finished(task_id, said.claim, Succeeded(1), 0.5)
    recorded = record(conn, [end], lambda: {task_id: said}, worker_id=worker.id).answer
    assert (recorded.states, recorded.asserted) == ({task_id: State.SUCCEEDED}, 1)


@pytest.mark.parametrize("is_newest_first", [False, True])
def test_of_two_claims_of_one_task_the_newest_is_asserted(
    conn: Connection, worker: Worker, is_newest_first: bool
) -> None:
    """A child may still run an attempt that was fenced off."""
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    said = [Assertion(task_id, uuid4(), attempt, "w:1") for attempt in (2, 3)]
    assert assert_claims(conn, said[::-1] if is_newest_first else said, worker_id=worker.id).answer == {task_id}
    assert (read(conn, task_id).claim, read(conn, task_id).attempt) == (said[1].claim, 3)
    assert events(conn, task_id) == ["claim_asserted"]


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("attempt", [0, 1, 2, 5])
def test_a_stale_claim_asserts_nothing_in_any_state(
    conn: Connection, worker: Worker, state: State, attempt: int
) -> None:
    """A claim that PostgreSQL forgot has a higher attempt than the row; all others are stale, and what ended stays."""
    task_id = put(conn, state, worker_id=worker.id, attempt=1)
    if attempt > 1 and state in {State.SCHEDULED, State.QUEUED, State.RETRYING, State.RUNNING}:
        return
    before = read(conn, task_id)
    assert not assert_claims(conn, [Assertion(task_id, uuid4(), attempt, "w:1")], worker_id=worker.id).answer
    assert read(conn, task_id) == before


def test_a_worker_that_was_given_up_asserts_nothing(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED)
    workers.retire(conn, worker.id)
    assert not assert_claims(conn, [Assertion(task_id, uuid4(), 1, "w:1")], worker_id=worker.id).answer
    assert not assert_claims(conn, [], worker_id=worker.id).answer


def test_a_key_held_while_waiting_is_free_again_with_the_claim(conn: Connection, worker: Worker) -> None:
    """The failover that took the claim back gave the key back to its task."""
    waiting, active = put(conn, State.QUEUED), put(conn, State.QUEUED)
    hold_key(conn, waiting, "waiting", "w")
    hold_key(conn, active, "active", "a")
    assert_claims(conn, [Assertion(i, uuid4(), 1, "w:1") for i in (waiting, active)], worker_id=worker.id)
    assert key_holders(conn) == {"a": active}


def test_a_worker_that_holds_a_later_claim_takes_the_task_over_from_the_one_that_runs_an_earlier_one(
    conn: Connection, worker: Worker
) -> None:
    """The request to cancel goes to the worker that holds the task now."""
    earlier = Worker(conn, register(conn))
    task_id = put(conn, State.QUEUED)
    (won,) = earlier.claim([task_id])
    cancel.cancel(conn, [task_id])
    said = Assertion(task_id, uuid4(), 2, "w:1")
    assert assert_claims(conn, [said], worker_id=worker.id).answer == {task_id}

    assert not finish.finish(conn, [finish.Finished(task_id, won.claim, Succeeded(1), 0.5)]).changes, "fenced"
    stale = Assertion(task_id, won.claim, won.attempt, "w:2")
    assert not assert_claims(conn, [stale], worker_id=earlier.id).answer
    assert workers.held(conn, earlier.id) == []
    assert workers.held(conn, worker.id) == [workers.Held(task_id, said.claim, "default", cancel_requested=True)]


def test_asserting_twice_is_harmless(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED)
    said = Assertion(task_id, uuid4(), 1, "w:1")
    assert assert_claims(conn, [said], worker_id=worker.id).answer
    assert not assert_claims(conn, [said], worker_id=worker.id).answer
    assert read(conn, task_id).state == "running"
