"""finish: what an attempt came to is recorded once, by the claim that holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import Cancelled, Failed, Outcome, Released, RetryIn, State, Succeeded
from taskyard.lifecycle import cancel, finish, promote
from taskyard.lifecycle.committed import Committed

from .rows import FAULT, PAST, Worker, attempts, events, hold_key, key_holders, outbox, put, read

NOT_SUCCESSES = [Failed(FAULT), RetryIn(FAULT, timedelta(seconds=60)), Cancelled(), Released("drained")]


def running(worker: Worker) -> tuple[UUID, UUID]:
    task_id, claim_id = put(worker.conn, State.QUEUED, publication=1), uuid4()
    worker.claim([task_id], claim_id)
    return task_id, claim_id


def ends(worker: Worker, task_id: UUID, claim_id: UUID, outcome: Outcome, run: float | None = 0.5) -> Committed[Any]:
    return finish.finish(worker.conn, [finish.Finished(task_id, claim_id, outcome, run)])


def test_a_success_keeps_its_result_and_one_attempt(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    end = finish.Finished(
        task_id, claim_id, Succeeded({"n": [1, None, "ü"]}, partial=True), 2.0, 1.0, peak_memory_bytes=2**40
    )
    recorded = finish.finish(worker.conn, [end])
    assert [(c.task_id, c.state, c.attempt) for c in recorded.changes] == [(task_id, State.SUCCEEDED, 1)]
    assert not recorded.outbox_ids
    row = read(worker.conn, task_id)
    assert (row.state, row.result, row.partial, row.error) == ("succeeded", {"n": [1, None, "ü"]}, True, None)
    assert (row.claim, row.worker_id, row.worker) == (None, None, "w:1")
    (attempt,) = attempts(worker.conn, task_id)
    assert (attempt.outcome, attempt.attempt, attempt.worker) == ("succeeded", 1, "w:1")
    assert attempt.peak_memory_bytes == 2**40
    assert attempt.finished_at - attempt.started_at == timedelta(seconds=2)
    assert (row.finished_at - attempt.finished_at).total_seconds() == pytest.approx(1, abs=0.01)
    assert row.started_at == attempt.started_at


def test_plain_successes_are_recorded_as_a_success_among_other_ends(worker: Worker) -> None:
    def seen(others: list[finish.Finished], **flags: Any) -> tuple[Any, ...]:
        task_id = put(worker.conn, State.RETRYING, publication=1, due=PAST, cancel_requested_at=sa.func.now())
        hold_key(worker.conn, task_id, "active", key=str(task_id))
        promote.promote(worker.conn)
        claim_id = uuid4()
        worker.claim([task_id], claim_id)
        end = finish.Finished(task_id, claim_id, Succeeded({"n": 1}, partial=True), 2.0, 1.0, 2**40, **flags)
        stale = finish.Finished(put(worker.conn, State.RUNNING), uuid4(), Succeeded(None), 0.1, **flags)
        recorded = finish.finish(worker.conn, [end, stale, *others])
        change = next(c for c in recorded.answer if c.task_id == task_id)
        assert len(recorded.answer) == 1 + len(others)
        assert not key_holders(worker.conn)
        row = read(worker.conn, task_id)
        (attempt,) = attempts(worker.conn, task_id)
        assert row.started_at == attempt.started_at
        return (
            (change.state, change.attempt),
            (row.state, row.result, row.partial, row.error, row.failures, row.claim, row.worker_id, row.worker),
            (row.due_at, row.publication, row.attempt, row.finished_at is None, row.run_at < row.started_at),
            (attempt.outcome, attempt.attempt, attempt.worker, attempt.peak_memory_bytes, attempt.retry_at),
            (attempt.finished_at - attempt.started_at, attempt.queued_at is None, attempt.error),
            events(worker.conn, task_id),
        )

    plain: dict[str, Any] = {"calls_back": False, "is_step": False, "is_limited": False}
    failing = finish.Finished(*running(worker), Failed(FAULT), 0.1, **plain)
    assert seen([], **plain) == seen([failing], **plain) == seen([])


def test_a_failure_keeps_its_fault_and_its_traceback_apart(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    ends(worker, task_id, claim_id, Failed(FAULT))
    row = read(worker.conn, task_id)
    assert row.error == {
        "code": "smtp_refused",
        "message": "The mail server refused.",
        "type": "SMTPError",
        "kind": "exception",
        "retryable": True,
        "attempt": 1,
    }
    assert row.failures == 1
    (attempt,) = attempts(worker.conn, task_id)
    assert (attempt.outcome, attempt.traceback, attempt.error) == ("failed", "Traceback ...", row.error)


def test_a_retry_waits_by_postgresqls_clock(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    ends(worker, task_id, claim_id, RetryIn(FAULT, timedelta(seconds=60)))
    row = read(worker.conn, task_id)
    assert (row.state, row.failures, row.claim) == ("retrying", 1, None)
    assert row.due_at == row.run_at
    now = worker.conn.execute(sa.text("SELECT now()")).scalar_one()
    assert (row.due_at - now).total_seconds() == pytest.approx(60, abs=5)
    (attempt,) = attempts(worker.conn, task_id)
    assert (attempt.outcome, attempt.retry_at) == ("retrying", row.due_at)


def test_recording_an_end_again_is_harmless(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    end = finish.Finished(task_id, claim_id, RetryIn(FAULT, timedelta(0)), 0.5)
    finish.finish(worker.conn, [end])
    before = read(worker.conn, task_id)
    assert not finish.finish(worker.conn, [end]).changes
    assert read(worker.conn, task_id) == before
    assert len(attempts(worker.conn, task_id)) == 1


def test_a_batch_that_repeats_an_end_records_the_first_one(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    batch = [
        finish.Finished(task_id, claim_id, Succeeded(1), 0.5),
        finish.Finished(task_id, claim_id, Released("drained"), None),
        finish.Finished(task_id, uuid4(), Failed(FAULT), 0.5),
    ]
    assert [c.state for c in finish.finish(worker.conn, batch).changes] == [State.SUCCEEDED]
    assert len(attempts(worker.conn, task_id)) == 1


def test_a_batch_wins_for_each_claim_that_holds_and_tells_which(worker: Worker) -> None:
    held, stale = [running(worker) for _ in range(3)], [running(worker) for _ in range(2)]
    batch = [finish.Finished(t, c, Succeeded(None), 0.1) for t, c in held]
    batch += [finish.Finished(t, uuid4(), Succeeded(None), 0.1) for t, _ in stale]
    won = finish.finish(worker.conn, batch)
    assert [c.task_id for c in won.changes] == sorted(t for t, _ in held)
    assert {read(worker.conn, t).state for t, _ in stale} == {"running"}


def test_an_empty_batch_is_nothing(conn: Connection) -> None:
    assert finish.finish(conn, []) == Committed([])


def test_a_success_beats_a_request_to_cancel(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    cancel.cancel(worker.conn, [task_id])
    ends(worker, task_id, claim_id, Succeeded(1))
    assert read(worker.conn, task_id).state == "succeeded"


@pytest.mark.parametrize("outcome", NOT_SUCCESSES)
def test_otherwise_the_request_to_cancel_wins(worker: Worker, outcome: Outcome) -> None:
    task_id, claim_id = running(worker)
    cancel.cancel(worker.conn, [task_id])
    recorded = ends(worker, task_id, claim_id, outcome)
    assert [c.state for c in recorded.changes] == [State.CANCELLED]
    assert not recorded.publications
    assert not outbox(worker.conn)
    row = read(worker.conn, task_id)
    assert (row.state, row.due_at) == ("cancelled", None)
    assert [a.outcome for a in attempts(worker.conn, task_id)] == ["cancelled"]


def test_a_release_costs_nothing_and_is_published_under_a_higher_number(worker: Worker) -> None:
    task_id, claim_id = running(worker)
    recorded = ends(worker, task_id, claim_id, Released("drained"), run=None)
    row = read(worker.conn, task_id)
    assert (row.state, row.failures, row.crashes, row.suspicions) == ("queued", 0, 0, 0)
    assert row.publication == 2
    assert [(p.task_id, p.queue, p.number) for p in recorded.publications] == [(task_id, "default", 2)]
    assert outbox(worker.conn) == {recorded.outbox_ids[0]: {task_id}}


def test_a_release_before_the_run_records_no_attempt_and_one_after_it_does(worker: Worker) -> None:
    unbegun, begun = running(worker), running(worker)
    ends(worker, *unbegun, Released("drained"), run=None)
    ends(worker, *begun, Released("drained"), run=1.0)
    assert not attempts(worker.conn, unbegun[0])
    assert [(a.outcome, a.cause) for a in attempts(worker.conn, begun[0])] == [("released", "drained")]


def test_a_release_keeps_what_the_last_failure_said(worker: Worker) -> None:
    task_id, claim_id = put(worker.conn, State.QUEUED, error={"code": "earlier"}, failures=1), uuid4()
    worker.claim([task_id], claim_id)
    ends(worker, task_id, claim_id, Released("drained"))
    assert read(worker.conn, task_id).error == {"code": "earlier"}


def test_the_outbox_covers_what_became_queued_and_nothing_else(worker: Worker) -> None:
    released, other = [running(worker) for _ in range(2)], running(worker)
    batch = [finish.Finished(t, c, Released("x")) for t, c in released]
    batch.append(finish.Finished(*other, Succeeded(1), 0.1))
    recorded = finish.finish(worker.conn, batch)
    assert outbox(worker.conn) == {recorded.outbox_ids[0]: {t for t, _ in released}}
    assert {p.task_id for p in recorded.publications} == {t for t, _ in released}


def test_a_batch_with_one_end_that_cannot_be_stored_fails_whole_and_writes_nothing(worker: Worker) -> None:
    """Documented: who batches strangers' ends checks them first, or halves the batch."""
    good, poisoned = running(worker), running(worker)
    batch = [
        finish.Finished(*good, Succeeded({"fine": 1}), 0.1),
        finish.Finished(*poisoned, Succeeded({"nul": "\x00"}), 0.1),
    ]
    with pytest.raises(sa.exc.DBAPIError) as caught:
        finish.finish(worker.conn, batch)
    assert str(getattr(caught.value.orig, "sqlstate", "")).startswith("22")
    assert {read(worker.conn, t).state for t, _ in (good, poisoned)} == {"running"}
    assert len(finish.finish(worker.conn, batch[:1]).changes) == 1
