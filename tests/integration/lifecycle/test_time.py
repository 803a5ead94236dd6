"""What time and people do to tasks: promote, expire, retry."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import FINAL, WAITING, State, Succeeded
from taskyard.lifecycle import cancel, finish, progress, promote, retry
from taskyard.store import ledger

from .rows import FUTURE, PAST, Worker, attempts, events, outbox, put, read, state_of


def test_due_tasks_become_queued_with_one_outbox_row_and_the_others_wait(conn: Connection) -> None:
    due = {put(conn, s, due=PAST) for s in (State.SCHEDULED, State.RETRYING)}
    later = {put(conn, s, due=FUTURE) for s in (State.SCHEDULED, State.RETRYING)}
    recorded = promote.promote(conn)
    assert {p.task_id for p in recorded.publications} == due
    assert outbox(conn) == {recorded.outbox_ids[0]: due}
    assert {state_of(conn, i) for i in due} == {State.QUEUED}
    assert State.QUEUED not in {state_of(conn, i) for i in later}
    assert not promote.promote(conn).changes


def test_promotion_goes_by_the_limit_and_takes_the_longest_due_first(conn: Connection) -> None:
    ids = [put(conn, State.SCHEDULED, due=timedelta(minutes=-n)) for n in range(1, 6)]
    assert {c.task_id for c in promote.promote(conn, limit=2).changes} == set(ids[-2:])


def test_a_task_that_somebody_holds_is_promoted_in_the_next_pass(conn: Connection, engine: Engine) -> None:
    held, free = (put(conn, State.SCHEDULED, due=PAST) for _ in range(2))
    with ledger.transaction(engine) as other:
        cancel.cancel(other, [held])
        assert [c.task_id for c in promote.promote(conn).changes] == [free]
        other.rollback()
    assert [c.task_id for c in promote.promote(conn).changes] == [held]


def test_the_next_due_time_is_the_earliest_of_what_waits(conn: Connection) -> None:
    assert promote.next_due(conn) is None
    put(conn, State.QUEUED)
    put(conn, State.SCHEDULED, due=timedelta(hours=2))
    first = put(conn, State.RETRYING, due=timedelta(hours=1))
    assert promote.next_due(conn) == read(conn, first).due_at


@pytest.mark.parametrize("state", sorted(WAITING))
def test_what_waits_past_its_life_fails_as_expired(conn: Connection, state: State) -> None:
    old = put(conn, state, expires_at=sa.func.now() + PAST)
    put(conn, state, expires_at=sa.func.now() + FUTURE)
    put(conn, state, expires_at=None)
    changes = promote.expire(conn).changes
    assert [(c.task_id, c.state) for c in changes] == [(old, State.FAILED)]
    row = read(conn, old)
    assert row.error["code"] == "expired"
    assert row.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ") in row.error["message"]
    assert events(conn, old) == ["expired"]
    assert not promote.expire(conn).changes


def test_what_runs_or_is_over_does_not_expire(conn: Connection, worker: Worker) -> None:
    for state in FINAL | {State.RUNNING}:
        put(conn, state, worker_id=worker.id, expires_at=sa.func.now() + PAST)
    assert not promote.expire(conn).changes


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_a_persons_retry_resets_the_budgets_and_keeps_the_history(
    conn: Connection, worker: Worker, state: State
) -> None:
    task_id = put(
        conn,
        state,
        attempt=4,
        failures=4,
        crashes=2,
        suspicions=3,
        put_offs=5,
        publication=6,
        partial=True,
        error={"code": "x"},
        result={"half": 1},
        cancel_requested_at=sa.func.now(),
        discarded_at=sa.func.now(),
    )
    history = "INSERT INTO task_attempt (task_id, attempt, outcome, queue) SELECT id, 4, 'failed', queue FROM task"
    conn.execute(sa.text(history))
    conn.execute(sa.text("INSERT INTO task_progress (task_id, attempt, current) SELECT id, attempt, 40 FROM task"))
    recorded = retry.retry(conn, [task_id], life=timedelta(days=1), actor="ci")
    row = read(conn, task_id)
    assert (row.state, row.failures, row.crashes, row.suspicions, row.put_offs) == ("queued", 0, 0, 0, 0)
    assert (row.error, row.result, row.partial) == (None, None, False)
    assert (row.cancel_requested_at, row.discarded_at, row.finished_at) == (None, None, None)
    assert row.attempt == 4, "the attempt counts on"
    assert [(p.task_id, p.number) for p in recorded.publications] == [(task_id, 7)]
    assert outbox(conn) == {recorded.outbox_ids[0]: {task_id}}
    assert len(attempts(conn, task_id)) == 1
    assert events(conn, task_id) == ["retried"]
    assert not conn.execute(sa.text("SELECT FROM task_progress")).all()
    (won,) = worker.claim([task_id])
    assert (won.attempt, won.failures) == (5, 0)


def test_a_retry_gives_new_life_where_the_old_one_is_over(conn: Connection) -> None:
    over = put(conn, State.FAILED, expires_at=sa.func.now() + PAST)
    left = put(conn, State.FAILED, expires_at=sa.func.now() + FUTURE)
    endless = put(conn, State.FAILED)
    kept = read(conn, left).expires_at
    retry.retry(conn, [over, left, endless], life=timedelta(hours=2))
    now = conn.execute(sa.text("SELECT now()")).scalar_one()
    assert (read(conn, over).expires_at - now).total_seconds() == pytest.approx(7200, abs=10)
    assert read(conn, left).expires_at == kept
    assert read(conn, endless).expires_at is None


def test_a_retry_passes_over_what_is_neither_failed_nor_cancelled(conn: Connection, worker: Worker) -> None:
    others = [put(conn, s, worker_id=worker.id) for s in set(State) - {State.FAILED, State.CANCELLED}]
    failed = put(conn, State.FAILED)
    recorded = retry.retry(conn, [*others, failed], life=timedelta(days=1))
    assert [c.task_id for c in recorded.changes] == [failed]
    assert not retry.retry(conn, [failed], life=timedelta(days=1)).changes, "repeating it does nothing"


def test_asking_twice_for_the_end_of_what_runs_is_one_request(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    cancel.cancel(conn, [task_id])
    asked = read(conn, task_id).cancel_requested_at
    cancel.cancel(conn, [task_id])
    assert read(conn, task_id).cancel_requested_at == asked
    assert events(conn, task_id) == ["cancel_requested"]


def test_a_task_that_was_retried_after_a_cancellation_can_succeed(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED)
    cancel.cancel(conn, [task_id])
    retry.retry(conn, [task_id], life=timedelta(days=1))
    (won,) = worker.claim([task_id])
    finish.finish(conn, [finish.Finished(task_id, won.claim, Succeeded(1), 0.1)])
    assert state_of(conn, task_id) is State.SUCCEEDED
    assert not progress.progress(conn, [progress.Progress(task_id, won.claim, 1)]).answer
