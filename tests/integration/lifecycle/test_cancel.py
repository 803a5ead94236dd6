"""cancel: the whole tree of what a task submitted follows it, as far as `on_cancel` goes."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.errors import Fenced
from taskyard.domain.tasks import Cancelled, Failed, Outcome, State, Succeeded
from taskyard.lifecycle import cancel as cancelling
from taskyard.lifecycle import finish, rescue, retry
from taskyard.lifecycle.cancel import cancel, cancel_descendants
from taskyard.lifecycle.follow import follow
from taskyard.lifecycle.submit import submit_children
from taskyard.store import ledger, left_children
from taskyard.store.audit import Actor

from .rows import FAULT, Worker, attempts, claim_of, events, new, put, read, state_of


def cancel_tree(conn: Connection, task_id: UUID) -> set[UUID]:
    cancel(conn, [task_id], actor="ci")
    return set(cancel_descendants(conn, [task_id], actor="ci").answer)


def test_children_and_their_children_follow(conn: Connection, worker: Worker) -> None:
    parent = put(conn, State.RUNNING, worker_id=worker.id)
    waits = put(conn, State.QUEUED, parent_id=parent)
    runs = put(conn, State.RUNNING, worker_id=worker.id, parent_id=parent)
    done = put(conn, State.SUCCEEDED, parent_id=parent)
    grandchild = put(conn, State.RETRYING, parent_id=done)
    stranger = put(conn, State.QUEUED)
    assert cancel_tree(conn, parent) == {waits, runs, grandchild}
    states = [state_of(conn, i) for i in (parent, waits, runs, done, grandchild, stranger)]
    assert states == ["running", "cancelled", "running", "succeeded", "cancelled", "queued"]
    assert read(conn, runs).cancel_requested_at
    assert events(conn, waits) == ["cancelled"]
    assert events(conn, runs) == ["cancel_requested"]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "MOST_HELD", 3)


def follow_all(engine: Engine, *, limit: int = 2) -> int:
    """Each page in a transaction of its own, as the leader has it; answers how many there were."""
    pages = 0
    with ledger.connection(engine) as conn:
        while left_children.are_there(conn):
            ledger.run_transaction(engine, lambda own: follow(own, limit=limit))
            pages += 1
    return pages


@pytest.mark.usefixtures("few_at_once")
def test_what_is_too_much_for_one_transaction_follows_in_others(
    engine: Engine, conn: Connection, worker: Worker
) -> None:
    """Through children that have ended, and not through those that leave theirs."""
    parent = put(conn, State.RUNNING, worker_id=worker.id)
    waits = [put(conn, State.QUEUED, parent_id=parent) for _ in range(4)]
    runs = put(conn, State.RUNNING, worker_id=worker.id, parent_id=parent)
    done = put(conn, State.SUCCEEDED, parent_id=parent)
    grandchildren = [put(conn, State.RETRYING, parent_id=done) for _ in range(5)]
    leaves = put(conn, State.QUEUED, parent_id=parent, on_cancel="leave_children")
    left = put(conn, State.QUEUED, parent_id=leaves)
    assert cancel_tree(conn, parent) == set()
    assert {state_of(conn, i) for i in (*waits, *grandchildren)} == {State.QUEUED, State.RETRYING}
    assert follow_all(engine) > 5
    assert {state_of(conn, i) for i in (*waits, *grandchildren, leaves)} == {State.CANCELLED}
    assert read(conn, runs).cancel_requested_at
    assert (state_of(conn, done), state_of(conn, left)) == (State.SUCCEEDED, State.QUEUED)
    told = "SELECT data FROM task_event WHERE task_id = :id"
    for one in (waits[0], grandchildren[0]):
        assert conn.execute(sa.text(told), {"id": one}).scalar_one() == {"by": "ci", "follows": str(parent)}
    assert conn.execute(sa.text("SELECT count(*) FROM pace")).scalar_one() == 0


@pytest.mark.usefixtures("few_at_once")
def test_what_follows_later_is_what_was_there_when_the_parent_was_cancelled(engine: Engine, conn: Connection) -> None:
    """A child that is run again after its turn goes on, and so does what the parent submits when it runs again."""
    parent = put(conn, State.QUEUED)
    first, *others = [put(conn, State.QUEUED, parent_id=parent) for _ in range(5)]
    cancel_tree(conn, parent)
    ledger.run_transaction(engine, lambda own: follow(own, limit=2))
    assert state_of(conn, first) is State.CANCELLED
    retry.retry(conn, [first, parent], life=timedelta(hours=1))
    later = put(conn, State.QUEUED, parent_id=parent)
    follow_all(engine)
    assert [state_of(conn, i) for i in (first, later)] == [State.QUEUED, State.QUEUED]
    assert {state_of(conn, i) for i in others} == {State.CANCELLED}


@pytest.mark.usefixtures("few_at_once")
def test_a_transaction_that_dies_leaves_its_children_to_the_next(engine: Engine, conn: Connection) -> None:
    parent = put(conn, State.QUEUED)
    children = [put(conn, State.QUEUED, parent_id=parent) for _ in range(5)]
    cancel_tree(conn, parent)

    def dies(own: Connection) -> None:
        follow(own, limit=2)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ledger.run_transaction(engine, dies)
    assert follow_all(engine) == 3
    assert {state_of(conn, i) for i in children} == {State.CANCELLED}


@pytest.mark.usefixtures("few_at_once")
def test_a_cancellation_locks_a_bounded_number_of_tasks(engine: Engine, conn: Connection) -> None:
    parent = put(conn, State.QUEUED)
    children = [put(conn, State.QUEUED, parent_id=parent) for _ in range(5)]
    free = sa.text("SELECT count(*) FROM (SELECT FROM task WHERE id = ANY(:ids) FOR UPDATE SKIP LOCKED) t")
    with ledger.transaction(engine) as own:
        cancelling.cancel_task(own, parent, by=Actor("ci"))
        assert conn.execute(free, {"ids": children}).scalar_one() == 5


def test_children_are_left_where_the_parent_says_so(conn: Connection, worker: Worker) -> None:
    parent = put(conn, State.QUEUED, on_cancel="leave_children")
    child = put(conn, State.QUEUED, parent_id=parent)
    assert cancel_tree(conn, parent) == set()
    assert state_of(conn, child) is State.QUEUED
    top = put(conn, State.QUEUED)
    middle = put(conn, State.QUEUED, parent_id=top, on_cancel="leave_children")
    bottom = put(conn, State.QUEUED, parent_id=middle)
    assert cancel_tree(conn, top) == {middle}
    assert state_of(conn, bottom) is State.QUEUED


def test_an_attempt_that_was_asked_to_end_or_given_up_leaves_no_children(conn: Connection, worker: Worker) -> None:
    parent = put(conn, State.RUNNING, worker_id=worker.id)
    claim_id = claim_of(conn, parent)
    assert submit_children(conn, [new(parent_id=parent)], parent_id=parent, claim=claim_id).answer
    with pytest.raises(Fenced):
        submit_children(conn, [new(parent_id=parent)], parent_id=parent, claim=uuid4())
    cancel(conn, [parent])
    with pytest.raises(Fenced):
        submit_children(conn, [new(parent_id=parent)], parent_id=parent, claim=claim_id)


def test_a_child_that_is_submitted_while_its_parent_is_cancelled_does_not_get_away(
    engine: Engine, conn: Connection, worker: Worker
) -> None:
    parent = put(conn, State.RUNNING, worker_id=worker.id)
    child = new(parent_id=parent)
    followed: list[UUID] = []

    def cancelling() -> None:
        def verb(other: Connection) -> None:
            followed.extend(cancel_tree(other, parent))

        ledger.run_transaction(engine, verb)

    canceller = threading.Thread(target=cancelling)
    with ledger.transaction(engine) as submitting:
        submit_children(submitting, [child], parent_id=parent, claim=claim_of(conn, parent))
        canceller.start()
        canceller.join(0.3)
        assert canceller.is_alive(), "it waits for the submit to commit"
    canceller.join(10)
    assert followed == [child.id]
    assert state_of(conn, child.id) is State.CANCELLED


def test_each_step_of_a_cancellation_stands_on_the_timeline(conn: Connection, worker: Worker) -> None:
    willing, forced, done, failed = (put(conn, State.RUNNING, worker_id=worker.id) for _ in range(4))
    cancel(conn, [willing, forced, done, failed])
    outcomes: dict[UUID, Outcome] = {
        willing: Cancelled(),
        forced: Cancelled("it did not stop within 10 s", forced=True),
        done: Succeeded(1),
        failed: Failed(FAULT),
    }
    finish.finish(conn, [finish.Finished(i, claim_of(conn, i), o, 0.5) for i, o in outcomes.items()])
    assert [state_of(conn, i) for i in outcomes] == ["cancelled", "cancelled", "succeeded", "cancelled"]
    assert events(conn, willing) == ["cancel_requested", "cancel_acknowledged"]
    assert events(conn, forced) == ["cancel_requested", "cancel_forced"]
    assert attempts(conn, forced)[0].cause == "it did not stop within 10 s"
    assert events(conn, done) == ["cancel_requested"], "a success wins"


def test_asking_twice_says_so_and_changes_nothing(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    assert [c.is_repeated for c in cancel(conn, [task_id]).answer] == [False]
    before = read(conn, task_id)
    assert [c.is_repeated for c in cancel(conn, [task_id]).answer] == [True]
    assert read(conn, task_id) == before
    assert events(conn, task_id) == ["cancel_requested"]


def test_a_request_survives_the_death_of_the_worker(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    cancel(conn, [task_id])
    rescue.lose(conn, [rescue.Lost(task_id, claim_of(conn, task_id), rescue.Guilt.SUSPECT, "host lost")])
    assert state_of(conn, task_id) is State.CANCELLED
