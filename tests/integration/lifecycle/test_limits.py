"""Limits of keys and queues: exact, granted before publication, given back by whatever ends them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.limits import Granted, Waiting
from taskyard.domain.new_tasks import Limits
from taskyard.domain.tasks import Failed, Released, RetryIn, State
from taskyard.lifecycle import (
    cancel,
    change,
    claim,
    finish,
    limits,
    promote,
    put_off,
    rescue,
    retry,
    submit,
)
from taskyard.lifecycle.limits import Granting

from .limited import end, kept_turn, limited, plain, set_queue, settle, stands, turn
from .rows import FAULT, PAST, Worker, new, outbox, put, read


def test_what_has_a_limit_is_not_published_by_its_submit(conn: Connection) -> None:
    done = submit.submit(conn, [new(limits=Limits("k", 1)), new()])
    assert [p.task_id for p in done.publications] == [done.answer[1].id]
    assert list(outbox(conn).values()) == [{done.answer[1].id}]
    assert done.wakes_scheduler


def test_a_key_has_so_many_at_a_time_and_no_more(conn: Connection, engine: Engine, worker: Worker) -> None:
    ids = limited(conn, 5, concurrent=2)
    assert settle(engine) == ids[:2]
    assert not turn(engine)
    end(conn, worker, ids[:1])
    assert settle(engine) == [ids[2]]
    assert stands(conn, ids) == {"freed": 1, "granted": 2, "waiting": 2}


def test_what_waits_is_not_claimed_even_where_its_message_is_delivered(conn: Connection, worker: Worker) -> None:
    (task_id,) = limited(conn, 1)
    assert not worker.claim([task_id])


@pytest.mark.parametrize("leaving", ["fails", "is_cancelled", "is_put_off", "backs_off"])
def test_a_grant_is_given_back_by_whatever_ends_it(
    conn: Connection, engine: Engine, worker: Worker, leaving: str
) -> None:
    first, second = limited(conn, 2)
    settle(engine)
    if leaving == "is_cancelled":
        done = cancel.cancel(conn, [first])
        assert done.wakes_scheduler
    elif leaving == "is_put_off":
        assert put_off.put_off(conn, [first], reason="unknown").wakes_scheduler
    else:
        (won,) = worker.claim([first])
        outcome = Failed(FAULT) if leaving == "fails" else RetryIn(FAULT, -PAST)
        assert finish.finish(conn, [finish.Finished(first, won.claim, outcome, 0.1)]).wakes_scheduler
    assert settle(engine) == [second]


def test_a_task_that_is_tried_again_waits_for_its_limit_again(conn: Connection, engine: Engine, worker: Worker) -> None:
    first, second = limited(conn, 2)
    settle(engine)
    (won,) = worker.claim([first])
    finish.finish(conn, [finish.Finished(first, won.claim, RetryIn(FAULT, PAST), 0.1)])
    assert settle(engine) == [second]
    assert not promote.promote(conn).publications
    assert not settle(engine)
    end(conn, worker, [second])
    assert settle(engine) == [first]


def test_a_task_that_lost_its_process_keeps_its_grant(conn: Connection, engine: Engine, worker: Worker) -> None:
    first, second = limited(conn, 2)
    settle(engine)
    (won,) = worker.claim([first])
    done = finish.finish(conn, [finish.Finished(first, won.claim, Released("drained"), 0.1)])
    assert [p.task_id for p in done.publications] == [first]
    assert not settle(engine)
    assert read(conn, second).limited == "waiting"


def test_a_retry_of_a_person_waits_for_the_limit(conn: Connection, engine: Engine) -> None:
    task_id = put(conn, State.FAILED, limits=asdict(Limits("k", 1)))
    (running,) = limited(conn, 1)
    settle(engine)
    assert not retry.retry(conn, [task_id], life=timedelta(days=1)).publications
    assert not settle(engine)
    cancel.cancel(conn, [running])
    assert settle(engine) == [task_id]


def test_a_limit_of_a_queue_holds_back_what_was_published_before(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    ids = plain(conn, 4)
    worker.claim(ids[:1])
    set_queue(conn, concurrent=2)
    assert not worker.claim(ids[1:])
    assert limits.hold_back(conn, ids[1:]).answer == 3
    granted = settle(engine)
    assert len(granted) == 1, "one runs already"
    assert [w.id for w in worker.claim(granted)] == granted


def test_a_limit_that_is_raised_or_removed_lets_go_what_waits(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=1)
    ids = plain(conn, 6)
    assert len(settle(engine)) == 1
    set_queue(conn, concurrent=3)
    assert len(settle(engine)) == 2
    set_queue(conn, concurrent=None)
    assert len(settle(engine)) == 3
    assert stands(conn, ids) == {"granted": 6}


def test_a_paused_queue_gives_no_grants_until_it_is_resumed(conn: Connection, engine: Engine) -> None:
    set_queue(conn, paused_at=sa.func.now())
    ids = limited(conn, 1)
    assert not settle(engine)
    set_queue(conn, paused_at=None)
    assert settle(engine) == ids


def test_what_waits_in_a_queue_whose_limit_has_been_removed_is_found_without_a_mark(
    conn: Connection, engine: Engine
) -> None:
    """As where its submit, or a worker that held it back, saw the limit and committed after the leader had looked."""
    ids = [put(conn, State.QUEUED, limited="waiting")]
    conn.execute(sa.text("INSERT INTO queue (name) VALUES ('default') ON CONFLICT DO NOTHING"))
    assert settle(engine) == ids


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.SCHEDULED])
def test_a_grant_that_an_earlier_release_did_not_give_back_holds_nothing(
    conn: Connection, engine: Engine, state: State
) -> None:
    put(conn, state, limits=asdict(Limits("k", 1)), limited="granted")
    ids = limited(conn, 1)
    assert settle(engine) == ids


def test_what_runs_apart_waits_for_a_limit_that_its_queue_gets(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    ids = [put(conn, State.QUEUED, crashes=1), put(conn, State.QUEUED, suspicions=1)]
    set_queue(conn, concurrent=1)
    assert stands(conn, ids) == {"waiting": 2}
    (first,) = settle(engine)
    assert list(claim.set_apart(conn, ["default"], types={"email.send": 1})) == [first]


def test_what_lost_its_process_keeps_its_place_in_a_limit_that_came_meanwhile(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    (running,) = plain(conn, 1)
    (won,) = worker.claim([running])
    set_queue(conn, concurrent=1)
    rescue.lose(conn, [rescue.Lost(running, won.claim, rescue.Guilt.GUILTY, "killed")])
    assert read(conn, running).limited == "granted"
    assert limited(conn, 1) != settle(engine)


def test_a_pause_takes_back_what_no_worker_has_claimed(conn: Connection, engine: Engine, worker: Worker) -> None:
    set_queue(conn, "other", paused_at=None)
    first, second = [*limited(conn, 1, queue="other"), *limited(conn, 1)]
    settle(engine)
    set_queue(conn, "other", paused_at=sa.func.now())
    assert not turn(engine), "it takes back"
    assert settle(engine) == [second]
    assert not worker.claim([first])


def test_a_lowered_limit_takes_back_what_no_worker_has_claimed(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    set_queue(conn, concurrent=20)
    ids = [*plain(conn, 10), *limited(conn, 10, concurrent=50)]
    settle(engine)
    set_queue(conn, concurrent=3)
    settle(engine)
    assert len(worker.claim(ids)) == 3


@pytest.mark.parametrize("change", ["queue = 'full'", """limits = '{"key": "other", "concurrent": 1}'"""])
def test_a_grant_is_given_in_the_queue_and_for_the_key_that_were_looked_at(
    conn: Connection, engine: Engine, change: str
) -> None:
    set_queue(conn, "full", concurrent=1)
    plain(conn, 1, "full")
    limited(conn, 1, "other")
    settle(engine)
    (task_id,) = limited(conn, 1)
    given = Granted([Waiting(task_id, "default", "k", 1)])
    conn.execute(sa.text(f"UPDATE task SET {change} WHERE id = :id"), {"id": task_id})
    conn.execute(limits._GRANT, limits._chosen(given))
    assert read(conn, task_id).limited == "waiting"


def test_what_is_released_into_a_paused_queue_leaves_its_place(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    set_queue(conn, "other", paused_at=None)
    first, second = [*limited(conn, 1, queue="other"), *limited(conn, 1)]
    settle(engine)
    (won,) = worker.claim([first])
    set_queue(conn, "other", paused_at=sa.func.now())
    settle(engine)
    granting = Granting()
    assert kept_turn(engine, granting).answer.due_in <= 1.0, "nothing wakes the leader"
    finish.finish(conn, [finish.Finished(first, won.claim, Released("drained"), 0.1)])
    assert turn(engine, granting) + settle(engine, granting) == [second]


def test_a_change_of_tags_publishes_nothing(conn: Connection) -> None:
    (task_id,) = plain(conn, 1)
    done = change.change(conn, [task_id], change.Changes(tags=["new"]), life=timedelta(days=1))
    assert not done.publications
    assert done.changes
