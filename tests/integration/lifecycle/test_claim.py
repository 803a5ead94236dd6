"""claim: a task goes to exactly one claim, which can ask as often as it likes."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import State
from taskyard.lifecycle import claim, rescue, submit, workers
from taskyard.lifecycle.put_off import put_off

from .rows import NAME, PAST, Worker, events, new, put, read, register


def pause(conn: Connection, queue: str = "default") -> None:
    conn.execute(sa.text("UPDATE queue SET paused_at = now() WHERE name = :name"), {"name": queue})


def test_a_claim_carries_all_that_a_run_needs(conn: Connection, worker: Worker) -> None:
    asked = new(
        tags=["a", "b"],
        request_id="r-1",
        traceparent="00-1",
        submitted_by="ci",
        allowed_queues=["default"],
        workflow_id=uuid4(),
        version=3,
        expires_at=None,
    )
    submit.submit(conn, [asked])
    claim_id = uuid4()
    (won,) = worker.claim([asked.id], claim_id, types={NAME: 3})
    assert (won.id, won.claim, won.name, won.queue) == (asked.id, claim_id, NAME, "default")
    assert (won.params, won.version, won.tags) == (asked.params, 3, ["a", "b"])
    assert (won.attempt, won.failures, won.max_attempts) == (1, 0, 4)
    assert (won.soft_timeout_seconds, won.hard_timeout_seconds) == (540, 600)
    assert (won.request_id, won.traceparent, won.submitted_by) == ("r-1", "00-1", "ci")
    assert (won.allowed_queues, won.workflow_id) == (["default"], asked.workflow_id)
    assert 0 <= won.waited_seconds < 30


def test_a_claim_may_be_repeated_and_finds_its_rows_again(conn: Connection, worker: Worker) -> None:
    ids = [put(conn, State.QUEUED) for _ in range(3)]
    claim_id = uuid4()
    first = worker.claim(ids, claim_id)
    again = worker.claim(ids, claim_id)
    assert [w.id for w in first] == [w.id for w in again] == sorted(ids)
    assert [w.attempt for w in again] == [1, 1, 1]


def test_a_repeated_claim_finds_its_rows_though_the_queue_was_paused_or_the_task_expired_meanwhile(
    conn: Connection, worker: Worker
) -> None:
    """The commit whose answer got lost did happen: nobody else will run these rows."""
    ids = [put(conn, State.QUEUED) for _ in range(2)]
    claim_id = uuid4()
    worker.claim(ids, claim_id)
    pause(conn)
    conn.execute(sa.text("UPDATE task SET expires_at = now() - interval '1 second'"))
    assert len(worker.claim(ids, claim_id, types={})) == 2


def test_another_claim_never_wins_a_running_task(conn: Connection, worker: Worker) -> None:
    ids = [put(conn, State.QUEUED) for _ in range(3)]
    mine = uuid4()
    worker.claim(ids, mine)
    assert not worker.claim(ids, uuid4())
    assert {read(conn, i).claim for i in ids} == {mine}


def test_a_claim_wins_what_it_can_of_a_fetch(conn: Connection, worker: Worker) -> None:
    queued = put(conn, State.QUEUED)
    others = [put(conn, state, worker_id=worker.id) for state in State if state is not State.QUEUED]
    won = worker.claim([queued, *others, uuid4(), queued])
    assert [w.id for w in won] == [queued]


@pytest.mark.parametrize("end", ["lost", "stopped", "unknown"])
def test_a_worker_that_was_given_up_wins_nothing(conn: Connection, worker: Worker, end: str) -> None:
    task_id, claim_id, held = put(conn, State.QUEUED), uuid4(), put(conn, State.QUEUED)
    worker.claim([held], claim_id)
    match end:
        case "lost":
            conn.execute(sa.text("UPDATE worker SET lost_at = now()"))
        case "stopped":
            workers.retire(conn, worker.id)
        case "unknown":
            worker.id = new_id()
    assert not worker.claim([task_id])
    assert not worker.claim([held], claim_id), "nor does it find again what it had"
    assert read(conn, task_id).state == State.QUEUED


def test_a_paused_queue_an_unknown_type_and_an_expired_task_are_not_won(conn: Connection, worker: Worker) -> None:
    register(conn, queues=["slow"])
    pause(conn, "slow")
    paused = put(conn, State.QUEUED, queue="slow")
    unknown = put(conn, State.QUEUED, name="other.type")
    expired = put(conn, State.QUEUED, expires_at=sa.func.now() + PAST)
    fine = put(conn, State.QUEUED, queue="nobody_configured_this")
    ids = [paused, unknown, expired, fine]
    assert [w.id for w in worker.claim(ids)] == [fine]
    refused = {r.id: r.reason for r in claim.refusals(conn, ids, types={NAME: 1})}
    assert refused == {paused: "paused", unknown: "unknown"}, "what expired is the scheduler's to end"


def test_a_paused_queue_of_an_unknown_type_counts_as_paused(conn: Connection, worker: Worker) -> None:
    pause(conn)
    task_id = put(conn, State.QUEUED, name="other.type")
    assert [r.reason for r in claim.refusals(conn, [task_id], types={NAME: 1})] == ["paused"]


def test_a_worker_that_was_given_up_is_told_so_whatever_else_is_wrong(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED)
    (refusal,) = claim.refusals(conn, [task_id], types={NAME: 1}, worker_id=worker.id)
    assert refusal.reason == "open", "nothing speaks against it"
    pause(conn)
    workers.retire(conn, worker.id)
    for gone in (worker.id, new_id()):
        (refusal,) = claim.refusals(conn, [task_id], types={}, worker_id=gone)
        assert refusal.reason == "worker_lost"


def test_what_is_not_queued_any_more_is_not_refused_but_forgotten(conn: Connection, worker: Worker) -> None:
    ids = [put(conn, state, worker_id=worker.id) for state in State if state is not State.QUEUED]
    assert not claim.refusals(conn, [*ids, uuid4()], types={})


def test_the_attempt_never_decreases_and_a_release_does_not_give_one_back(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED, attempt=3)
    (won,) = worker.claim([task_id])
    assert won.attempt == 4
    rescue.lose(conn, [rescue.Lost(task_id, won.claim, rescue.Guilt.INNOCENT, "x")])
    (again,) = worker.claim([task_id])
    assert again.attempt == 5


def test_the_wait_in_the_queue_counts_from_when_the_task_was_due(conn: Connection, worker: Worker) -> None:
    now = sa.func.now()
    long_due = put(conn, State.QUEUED, queued_at=now - timedelta(seconds=30), run_at=now - timedelta(hours=1))
    (won,) = worker.claim([long_due])
    assert 29 < won.waited_seconds < 40


def test_what_nobody_here_can_run_is_put_off_longer_and_longer(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED, name="other.type")
    waits = []
    for _ in range(9):
        assert [c.task_id for c in put_off(conn, [task_id], reason="unknown type").changes] == [task_id]
        row = read(conn, task_id)
        assert row.state == State.SCHEDULED
        assert row.due_at == row.run_at
        until = conn.execute(sa.text("SELECT data ->> 'until' FROM task_event ORDER BY id DESC LIMIT 1")).scalar_one()
        assert (until[-1], datetime.fromisoformat(until)) == ("Z", row.due_at)
        waits.append((row.due_at - conn.execute(sa.text("SELECT now()")).scalar_one()).total_seconds())
        conn.execute(sa.text("UPDATE task SET state = 'queued', due_at = NULL, queued_at = now()"))
    assert 2 < waits[0] <= 5
    assert 149 < waits[-1] <= 300
    assert events(conn, task_id) == ["put_off"] * 9
    assert not put_off(conn, [put(conn, State.RUNNING, worker_id=worker.id)], reason="x").changes
