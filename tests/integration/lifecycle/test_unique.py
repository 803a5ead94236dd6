"""Unique keys are freed when their hold is over, and never taken back by a requeue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.errors import NotUnique, Refused
from taskyard.domain.tasks import Cancelled, Failed, Outcome, Released, RetryIn, State, Succeeded
from taskyard.lifecycle import cancel, finish, promote, rescue, retry
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.keyed import KeyedRequest, submit_keyed
from taskyard.lifecycle.submit import NewTask, Unique
from taskyard.store import ledger

from .rows import FAULT, PAST, Worker, hold_key, key_holders, new, put, read

ENDS = [Succeeded(1), Failed(FAULT), Cancelled()]
NO_ENDS = [Released("drained"), RetryIn(FAULT, timedelta(0))]


def end(conn: Connection, task_id: UUID, outcome: Outcome) -> None:
    finish.finish(conn, [finish.Finished(task_id, read(conn, task_id).claim, outcome, 0.1)])


def test_a_key_held_while_waiting_is_free_at_the_claim(conn: Connection, worker: Worker) -> None:
    waiting, active = put(conn, State.QUEUED), put(conn, State.QUEUED)
    hold_key(conn, waiting, "waiting", "w")
    hold_key(conn, active, "active", "a")
    worker.claim([waiting, active])
    assert key_holders(conn) == {"a": active}


@pytest.mark.parametrize("outcome", ENDS)
def test_a_key_held_while_active_is_free_at_the_end(conn: Connection, worker: Worker, outcome: Outcome) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    hold_key(conn, task_id, "active")
    end(conn, task_id, outcome)
    assert not key_holders(conn)


@pytest.mark.parametrize("outcome", NO_ENDS)
def test_a_key_held_while_active_outlives_what_is_not_the_end(
    conn: Connection, worker: Worker, outcome: Outcome
) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    hold_key(conn, task_id, "active")
    end(conn, task_id, outcome)
    assert key_holders(conn) == {"k": task_id}


def backs_off(conn: Connection, task_id: UUID) -> None:
    end(conn, task_id, RetryIn(FAULT, timedelta(0)))
    promote.promote(conn)


def retried(conn: Connection, task_id: UUID) -> None:
    end(conn, task_id, Failed(FAULT))
    retry.retry(conn, [task_id], life=timedelta(days=1))


WAYS_BACK: list[Callable[[Connection, UUID], object]] = [
    lambda conn, i: end(conn, i, Released("drained")),
    backs_off,
    lambda conn, i: rescue.lose(conn, [rescue.Lost(i, read(conn, i).claim, rescue.Guilt.GUILTY, "x")]),
    retried,
]


@pytest.mark.parametrize("way_back", WAYS_BACK, ids=["release", "retry", "rescue", "person"])
@pytest.mark.parametrize("taken", [True, False])
def test_a_requeue_takes_no_key_back(
    conn: Connection, worker: Worker, way_back: Callable[[Connection, UUID], object], taken: bool
) -> None:
    task_id, other = put(conn, State.QUEUED), put(conn, State.QUEUED)
    hold_key(conn, task_id, "waiting")
    worker.claim([task_id])
    if taken:
        hold_key(conn, other, "waiting")
    way_back(conn, task_id)
    assert read(conn, task_id).state == "queued"
    expected = {"k": other} if taken else {}
    assert key_holders(conn) == expected
    worker.claim([task_id])
    end(conn, task_id, Succeeded(1))
    assert key_holders(conn) == expected, "nor does it free what another task holds"


@pytest.mark.parametrize("hold", ["waiting", "active"])
def test_cancelling_what_waits_frees_its_key(conn: Connection, hold: str) -> None:
    task_id = put(conn, State.SCHEDULED)
    hold_key(conn, task_id, hold)
    cancel.cancel(conn, [task_id])
    assert not key_holders(conn)


def test_asking_for_the_end_of_what_runs_frees_nothing_yet(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    hold_key(conn, task_id, "active")
    cancel.cancel(conn, [task_id])
    assert key_holders(conn) == {"k": task_id}


def test_expiry_and_the_crash_limit_are_ends_too(conn: Connection, worker: Worker) -> None:
    expired = put(conn, State.QUEUED, expires_at=sa.func.now() + PAST)
    crashed = put(conn, State.RUNNING, worker_id=worker.id)
    hold_key(conn, expired, "waiting", "e")
    hold_key(conn, crashed, "active", "c")
    promote.expire(conn)
    assert key_holders(conn) == {"c": crashed}
    rescue.lose(conn, [rescue.Lost(crashed, read(conn, crashed).claim, rescue.Guilt.GUILTY, "x")], crash_limit=1)
    assert not key_holders(conn)


def submit_unique(engine: Engine, task: NewTask) -> StoredAnswer | Refused:
    request = KeyedRequest([task], lambda _: StoredAnswer(202, {}, b""))
    (answer,) = ledger.run_transaction(engine, lambda conn: submit_keyed(conn, [request])).answer
    return answer


@pytest.mark.parametrize("hold", ["waiting", "active"])
def test_a_submit_repeated_after_the_end_takes_no_key_again(engine: Engine, conn: Connection, hold: str) -> None:
    """The first commit's answer got lost: nobody would free the key any more."""
    first, second = (new(unique=Unique("k", hold)) for _ in range(2))
    submit_unique(engine, first)
    cancel.cancel(conn, [first.id])
    assert isinstance(submit_unique(engine, first), StoredAnswer)
    assert not key_holders(conn)
    assert isinstance(submit_unique(engine, second), StoredAnswer)
    assert isinstance(submit_unique(engine, first), StoredAnswer), "accepted is accepted, whoever holds the key by now"
    assert isinstance(submit_unique(engine, new(unique=Unique("k", hold))), NotUnique)
    assert key_holders(conn) == {"k": second.id}
