"""Limits of keys and queues: exact, in turn, granted before publication."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.limits import Granted, Waiting
from taskyard.domain.new_tasks import Limits
from taskyard.domain.tasks import Failed, Released, RetryIn, State, Succeeded
from taskyard.lifecycle import cancel, change, claim, finish, limits, promote, put_off, rescue, retry, submit
from taskyard.lifecycle.limits import Granting
from taskyard.store import ledger

from .rows import FAULT, PAST, Worker, new, outbox, put, read


def limited(conn: Connection, count: int, key: str = "k", *, queue: str = "default", **limit: float) -> list[UUID]:
    """New tasks with this limit, 1 at a time by default."""
    given = Limits(key, **(limit or {"concurrent": 1}))  # type: ignore[arg-type]
    tasks = [new(limits=given, queue=queue) for _ in range(count)]
    return [made.id for made in submit.submit(conn, tasks).answer]


def plain(conn: Connection, count: int, queue: str = "default") -> list[UUID]:
    return [made.id for made in submit.submit(conn, [new(queue=queue) for _ in range(count)]).answer]


def set_queue(conn: Connection, queue: str = "default", **columns: Any) -> None:
    conn.execute(sa.text("INSERT INTO queue (name) VALUES (:q) ON CONFLICT DO NOTHING"), {"q": queue})
    table = sa.table("queue", sa.column("name"), *map(sa.column, columns))
    conn.execute(sa.update(table).where(table.c.name == queue).values(**columns))
    limits.changed(conn, queue)


def turn(engine: Engine, granting: Granting | None = None) -> list[UUID]:
    """The tasks that one turn of the leader publishes."""
    done = ledger.run_transaction(engine, (granting or Granting()).turn)
    return [p.task_id for p in done.publications]


def settle(engine: Engine, granting: Granting | None = None) -> list[UUID]:
    """What turns publish until one publishes nothing."""
    found: list[UUID] = []
    granting = granting or Granting()
    while some := turn(engine, granting):
        found += some
    return found


def stands(conn: Connection, ids: list[UUID]) -> Counter[str | None]:
    return Counter(read(conn, i).limited for i in ids)


def end(conn: Connection, worker: Worker, ids: list[UUID]) -> None:
    for won in worker.claim(ids):
        finish.finish(conn, [finish.Finished(won.id, won.claim, Succeeded(1), 0.1, is_limited=won.is_limited)])


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


def test_one_key_with_many_tasks_does_not_hold_up_another(conn: Connection, engine: Engine, worker: Worker) -> None:
    set_queue(conn, concurrent=1)
    many = limited(conn, 50, "many", concurrent=9)
    few = limited(conn, 3, "few", concurrent=9)
    granting, order = Granting(), []
    for _ in range(6):
        (one,) = settle(engine, granting)
        order.append("few" if one in few else "many")
        end(conn, worker, [one])
    assert order in (["few", "many"] * 3, ["many", "few"] * 3)
    assert stands(conn, many)["waiting"] == 47


def test_what_has_no_key_and_what_has_one_take_turns(conn: Connection, engine: Engine, worker: Worker) -> None:
    set_queue(conn, concurrent=1)
    without, with_key = plain(conn, 5), limited(conn, 5, concurrent=9)
    granting, order = Granting(), []
    for _ in range(6):
        (one,) = settle(engine, granting)
        order.append(one in with_key)
        end(conn, worker, [one])
    assert order.count(True) == order.count(False) == 3
    assert stands(conn, without)["freed"] == 3


def test_a_key_without_room_leaves_its_queue_to_others(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=2)
    blocked = limited(conn, 3, "blocked")
    assert settle(engine) == blocked[:1]
    (other,) = limited(conn, 1, "other")
    assert settle(engine) == [other]


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


def test_more_than_a_page_waits(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=1)
    ids = plain(conn, limits.PAGE * 2 + 10)
    set_queue(conn, concurrent=None)
    assert sorted(settle(engine)) == sorted(ids)


def test_more_keys_than_a_walk_takes_all_get_their_turn(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=limits.KEYS + 50)
    keys = [f"k{n:04}" for n in range(limits.KEYS + 50)]
    tasks = [new(limits=Limits(key, 1)) for key in keys]
    ids = [made.id for made in submit.submit(conn, tasks).answer]
    assert sorted(settle(engine)) == sorted(ids)


def test_a_rate_lets_one_go_and_says_when_it_has_to_look_again(conn: Connection, engine: Engine) -> None:
    limited(conn, 3, per_second=0.5)
    granting = Granting()
    done = ledger.run_transaction(engine, granting.turn)
    assert (len(done.publications), done.answer.granted) == (1, 1)
    assert 1.0 < done.answer.due_in <= 2.0
    assert not turn(engine, granting)


def test_a_paused_queue_gives_no_grants_until_it_is_resumed(conn: Connection, engine: Engine) -> None:
    set_queue(conn, paused_at=sa.func.now())
    ids = limited(conn, 1)
    assert not settle(engine)
    set_queue(conn, paused_at=None)
    assert settle(engine) == ids


def test_a_new_leader_looks_at_everything_that_waits(conn: Connection, engine: Engine) -> None:
    ids = limited(conn, 2)
    conn.execute(sa.text("DELETE FROM limit_mark"))
    granting = Granting()
    assert not settle(engine, granting)
    ledger.run_transaction(engine, granting.begin)
    assert settle(engine, granting) == ids[:1]


def test_a_turn_without_limits_is_one_look(conn: Connection, engine: Engine) -> None:
    plain(conn, 3)
    statements: list[str] = []

    def note(_c: object, _u: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        assert not turn(engine)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1


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


@pytest.mark.parametrize("closed", [{"paused_at": sa.func.now()}, {"concurrent": 1}])
def test_a_queue_without_room_keeps_no_key_from_its_other_queues(
    conn: Connection, engine: Engine, worker: Worker, closed: dict[str, Any]
) -> None:
    set_queue(conn, "closed", **closed)
    if "concurrent" in closed:
        set_queue(conn, "closed", paused_at=None)
        plain(conn, 1, "closed")
        settle(engine)
    oldest = limited(conn, 3, queue="closed")
    (other,) = limited(conn, 1)
    assert settle(engine) == [other]
    assert stands(conn, oldest) == {"waiting": 3}


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


def test_a_grant_is_not_given_in_another_queue_than_was_looked_at(conn: Connection, engine: Engine) -> None:
    set_queue(conn, "full", concurrent=1)
    plain(conn, 1, "full")
    settle(engine)
    (task_id,) = limited(conn, 1)
    given = Granted([Waiting(task_id, "default", "k", 1)])
    conn.execute(sa.text("UPDATE task SET queue = 'full' WHERE id = :id"), {"id": task_id})
    conn.execute(limits._GRANT, limits._chosen(given))
    assert read(conn, task_id).limited == "waiting"


def test_a_rate_that_is_raised_holds_at_once(conn: Connection, engine: Engine) -> None:
    set_queue(conn, per_second=0.001)
    ids = plain(conn, 3)
    granting = Granting()
    assert len(settle(engine, granting)) == 1
    set_queue(conn, per_second=1000.0)
    assert len(settle(engine, granting)) == 2
    assert stands(conn, ids) == {"granted": 3}


def test_a_key_that_its_rate_holds_back_is_marked_once(conn: Connection, engine: Engine) -> None:
    set_queue(conn, per_second=100.0)
    for n in range(20):
        limited(conn, 2, f"k{n}", per_second=0.001)
    granting = Granting()
    settle(engine, granting)
    for _ in range(10):
        plain(conn, 1)
        turn(engine, granting)
    marks = conn.scalar(sa.text("SELECT count(*) FROM limit_mark WHERE key LIKE 'task:%'"))
    assert marks is not None
    assert marks <= 20


def test_a_key_with_room_is_found_behind_thousands_that_their_rates_hold_back(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=1)
    plain(conn, 1)
    settle(engine)
    keys = [f"a{n:05}" for n in range(3 * limits.KEYS)]
    pace = "INSERT INTO limit_pace SELECT 'task:' || k, now() FROM unnest(CAST(:keys AS text[])) k"
    conn.execute(sa.text(pace), {"keys": keys})
    submit.submit(conn, [new(limits=Limits(key, per_second=0.001)) for key in keys])
    (ready,) = limited(conn, 1, "z")
    granting = Granting()
    settle(engine, granting)
    set_queue(conn, concurrent=2)
    turns = 0
    while not (found := turn(engine, granting)):
        turns += 1
        conn.execute(sa.text("UPDATE limit_mark SET due_at = now()"))
        assert turns < 10
    assert found == [ready]


def test_a_change_of_tags_publishes_nothing(conn: Connection) -> None:
    (task_id,) = plain(conn, 1)
    done = change.change(conn, [task_id], change.Changes(tags=["new"]), life=timedelta(days=1))
    assert not done.publications
    assert done.changes


def test_a_key_is_not_held_up_by_its_tasks_in_a_queue_with_little_room(conn: Connection, engine: Engine) -> None:
    set_queue(conn, "little", concurrent=1)
    held = limited(conn, 5, queue="little", concurrent=4)
    others = limited(conn, 5, concurrent=4)
    assert settle(engine) == [held[0], *others[:3]]
