"""The turns of the leader: each key and queue in its turn, rates, many keys, one leader after another."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.new_tasks import Limits
from taskyard.lifecycle import (
    cancel,
    change,
    limit_turns,
    limits,
    promote,
    submit,
)
from taskyard.lifecycle.limits import Granting
from taskyard.store import ledger

from .limited import end, kept_turn, limited, plain, set_queue, settle, stands, turn
from .rows import Worker, new, read


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


def test_more_than_a_page_waits(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=1)
    ids = plain(conn, limits.PAGE * 2 + 10)
    set_queue(conn, concurrent=None)
    assert sorted(settle(engine)) == sorted(ids)


def test_more_keys_than_a_walk_takes_all_get_their_turn(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=limit_turns.KEYS + 50)
    keys = [f"k{n:04}" for n in range(limit_turns.KEYS + 50)]
    tasks = [new(limits=Limits(key, 1)) for key in keys]
    ids = [made.id for made in submit.submit(conn, tasks).answer]
    assert sorted(settle(engine)) == sorted(ids)


def test_a_rate_lets_one_go_and_says_when_it_has_to_look_again(conn: Connection, engine: Engine) -> None:
    limited(conn, 3, per_second=0.5)
    granting = Granting()
    done = kept_turn(engine, granting)
    assert (len(done.publications), done.answer.granted) == (1, 1)
    (due_in,) = conn.scalars(sa.text("SELECT extract(epoch FROM due_at - now()) FROM limit_mark")).all()
    assert 1.0 < due_in <= 2.0
    assert not turn(engine, granting)


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


def held_back(conn: Connection, count: int) -> list[str]:
    """Keys that wait for their rates, looked at and not marked any more."""
    keys = [f"a{n:05}" for n in range(count)]
    pace = "INSERT INTO limit_pace SELECT 'task:' || k, now() FROM unnest(CAST(:keys AS text[])) k"
    conn.execute(sa.text(pace), {"keys": keys})
    submit.submit(conn, [new(limits=Limits(key, per_second=0.001)) for key in keys])
    conn.execute(sa.text("DELETE FROM limit_mark"))
    return keys


def turns_until(engine: Engine, granting: Granting, wanted: list[UUID]) -> int:
    for turns in range(1, 20):
        if (found := turn(engine, granting)) == wanted:
            return turns
        assert not found
        with engine.begin() as conn:
            conn.execute(sa.text("UPDATE limit_mark SET due_at = now() WHERE due_at < now() + interval '1 second'"))
    raise AssertionError("it is not found")


def test_a_key_with_room_is_found_behind_thousands_that_their_rates_hold_back(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    set_queue(conn, concurrent=1)
    (running,) = limited(conn, 1, "b", concurrent=9)
    settle(engine)
    held_back(conn, 3 * limit_turns.KEYS)
    (ready,) = limited(conn, 1, "z")
    end(conn, worker, [running])
    conn.execute(sa.text("DELETE FROM limit_mark"))
    granting = Granting()  # a new leader, which has no mark of it
    ledger.run_transaction(engine, granting.begin)
    assert turns_until(engine, granting, [ready]) <= 4


def test_what_has_no_key_does_not_wait_for_thousands_that_have_no_room(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=1)
    held_back(conn, 3 * limit_turns.KEYS)
    granting = Granting()
    ledger.run_transaction(engine, granting.begin)
    (ready,) = plain(conn, 1)
    assert turns_until(engine, granting, [ready]) <= 1


def test_a_key_that_is_always_busy_does_not_pass_one_that_waits_far_behind(
    conn: Connection, engine: Engine, worker: Worker
) -> None:
    set_queue(conn, concurrent=1)
    busy = limited(conn, 10, "a", concurrent=9)
    granting = Granting()
    assert turn(engine, granting) == busy[:1]
    held_back(conn, 2 * limit_turns.KEYS)
    (ready,) = limited(conn, 1, "z")
    granted = busy[:1]
    for _ in range(5):
        end(conn, worker, granted)
        granted = []
        while not granted:
            granted = turn(engine, granting)
        if granted == [ready]:
            break
    assert granted == [ready]


def test_more_keys_than_a_row_has_places_for_have_their_turns(
    conn: Connection, engine: Engine, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_turns, "KEYS", 4)
    monkeypatch.setattr(limit_turns, "_LONGEST_ROW", 6)
    set_queue(conn, concurrent=2)
    keys = [f"k{n:02}" for n in range(20)]
    tasks = [new(limits=Limits(key, 9)) for _ in range(6) for key in keys]
    submit.submit(conn, tasks)
    granting, served = Granting(), Counter[str]()
    ledger.run_transaction(engine, granting.begin)
    while len(served) < len(keys):
        granted = turn(engine, granting)
        served.update(read(conn, task_id).limits["key"] for task_id in granted)
        assert max(served.values(), default=0) <= 3
        end(conn, worker, granted)


def test_two_queues_of_one_key_have_their_turns(conn: Connection, engine: Engine, worker: Worker) -> None:
    for queue in ("aaa", "zzz"):
        set_queue(conn, queue, concurrent=5)
        limited(conn, 10, queue=queue)
    granting, order = Granting(), []
    for _ in range(6):
        (one,) = settle(engine, granting)
        order.append(read(conn, one).queue)
        end(conn, worker, [one])
    assert order in (["aaa", "zzz"] * 3, ["zzz", "aaa"] * 3)


def test_keys_without_room_are_looked_at_once_and_again_when_their_rates_allow_one(
    conn: Connection, engine: Engine
) -> None:
    set_queue(conn, concurrent=1)
    held_back(conn, 2 * limit_turns.KEYS + 10)
    granting = Granting()
    ledger.run_transaction(engine, granting.begin)
    settle(engine, granting)
    for _ in range(4):
        turn(engine, granting)
    done = kept_turn(engine, granting)
    assert done.answer.due_in == 1.0
    marks = conn.scalar(sa.text("SELECT count(*) FROM limit_mark WHERE due_at > now() + interval '500 seconds'"))
    assert marks == 2 * limit_turns.KEYS + 10


def test_a_turn_that_was_undone_leaves_nothing_unseen(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=5)
    ids = [*limited(conn, 1, "a"), *limited(conn, 1, "b")]
    granting = Granting()

    def cut_off(conn: Connection) -> None:
        assert granting.turn(conn).answer.granted == 2
        raise ConnectionError

    with pytest.raises(ConnectionError):
        ledger.run_transaction(engine, cut_off)
    conn.execute(sa.text("DELETE FROM limit_mark"))
    assert settle(engine, granting) == ids


def test_a_change_of_a_queue_is_marked_although_it_has_been_marked_before(conn: Connection, engine: Engine) -> None:
    """The leader may take that mark before it sees the change."""
    set_queue(conn, paused_at=sa.func.now())
    ids = limited(conn, 2, concurrent=5)
    granting = Granting()
    with ledger.transaction(engine) as resuming:
        set_queue(resuming, paused_at=None)
        assert not settle(engine, granting)
    assert settle(engine, granting) == ids


def test_many_marks_of_one_key_do_not_hold_up_another(conn: Connection, engine: Engine) -> None:
    conn.execute(sa.text("INSERT INTO limit_mark (key) SELECT 'task:busy' FROM generate_series(1, 4000)"))
    (other,) = limited(conn, 1, "other")
    assert turn(engine) == [other]
    assert "task:busy" not in conn.scalars(sa.text("SELECT key FROM limit_mark")).all()


def grants_at_its_rate(engine: Engine, per_second: int) -> None:
    """By turns that are taken when they are due, and without a wake-up. A turn that is late loses time and no more."""
    granting, granted, until = Granting(), 0, time.monotonic() + 60
    now = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)")
    with ledger.connection(engine) as conn:
        began = conn.execute(now).scalar_one()
        while granted < 35:
            assert time.monotonic() < until, granted
            answer = kept_turn(engine, granting).answer
            granted += answer.granted
            assert answer.granted > 0, "it was due"
            assert answer.due_in <= 1 / per_second + 0.001
            time.sleep(max(answer.due_in, 0.02))
        elapsed = conn.execute(now).scalar_one() - began
    assert granted <= per_second * elapsed + 5


def test_a_queue_gets_its_rate_without_anything_that_wakes_the_leader(conn: Connection, engine: Engine) -> None:
    set_queue(conn, per_second=20.0)
    plain(conn, 100)
    grants_at_its_rate(engine, 20)


def test_a_key_gets_its_rate_without_anything_that_wakes_the_leader(conn: Connection, engine: Engine) -> None:
    limited(conn, 100, per_second=20.0)
    grants_at_its_rate(engine, 20)


def test_a_new_leader_s_turns_stay_small_however_much_waits(conn: Connection, engine: Engine) -> None:
    tasks = [new(limits=Limits(f"k{n:03}", per_second=100.0)) for n in range(300) for _ in range(30)]
    for at in range(0, len(tasks), 1000):
        submit.submit(conn, tasks[at : at + 1000])
    granting = Granting()
    ledger.run_transaction(engine, granting.begin)
    rows = 0

    def count(*args: Any) -> None:
        nonlocal rows
        rows += max(args[1].rowcount, 0)

    sa.event.listen(engine, "after_cursor_execute", count)
    try:
        granted = ledger.run_transaction(engine, granting.turn).answer.granted
    finally:
        sa.event.remove(engine, "after_cursor_execute", count)
    assert 300 <= granted <= 4000
    assert rows < 15_000


def test_grants_are_exact_while_one_leader_takes_over_from_another(conn: Connection, engine: Engine) -> None:
    set_queue(conn, concurrent=1)
    ids = [*limited(conn, 1, "a", concurrent=9), *limited(conn, 1, "b", concurrent=9)]
    with ThreadPoolExecutor(1) as pool:
        with ledger.transaction(engine) as former:
            assert Granting().turn(former).answer.granted == 1
            other = pool.submit(ledger.run_transaction, engine, Granting().turn)
            time.sleep(0.3)
            assert not other.done()
        assert other.result(10).answer.granted == 0
    assert stands(conn, ids) == {"granted": 1, "waiting": 1}


@pytest.mark.parametrize("leaving", ["is_cancelled", "expires", "is_postponed"])
@pytest.mark.parametrize(
    "limit", [({"concurrent": 1}, {"concurrent": 5}), ({"per_second": 0.001}, {"per_second": 1000.0})]
)
def test_what_is_behind_a_narrower_one_goes_when_that_one_leaves(
    conn: Connection, engine: Engine, leaving: str, limit: tuple[dict[str, float], dict[str, float]]
) -> None:
    limited(conn, 1, "k", queue="default", **limit[0])
    settle(engine)
    (narrow,), (wide,) = (
        limited(conn, 1, "k", queue="default", **limit[0]),
        limited(conn, 1, "k", queue="default", **limit[1]),
    )
    assert not settle(engine)
    if leaving == "is_cancelled":
        assert cancel.cancel(conn, [narrow]).wakes_scheduler
    elif leaving == "expires":
        conn.execute(sa.text("UPDATE task SET expires_at = now() - interval '1 minute' WHERE id = :id"), {"id": narrow})
        assert promote.expire(conn, limit=10).wakes_scheduler
    else:
        later = change.Changes(run_at=datetime.now(UTC) + timedelta(hours=1))
        change.change(conn, [narrow], later, life=timedelta(days=1))
    assert settle(engine) == [wide]


def test_a_pause_of_a_queue_with_many_keys_holds_up_no_other_limit(conn: Connection, engine: Engine) -> None:
    set_queue(conn, "slow", paused_at=None)
    submit.submit(conn, [new(limits=Limits(f"k{n}", 1), queue="slow") for n in range(3 * limits.MARKS)])
    settle(engine)
    set_queue(conn, "slow", paused_at=sa.func.now())
    (other,) = limited(conn, 1, "other")
    granting = Granting()
    assert other in turn(engine, granting) + turn(engine, granting)


def test_each_queue_of_a_key_goes_by_the_limit_of_its_own_oldest_task(conn: Connection, engine: Engine) -> None:
    limited(conn, 1, concurrent=1)
    settle(engine)
    limited(conn, 2 * limits.PAGE, concurrent=1)
    (wider,) = limited(conn, 1, queue="second", concurrent=5)
    assert settle(engine) == [wider]


def test_a_key_is_not_held_up_by_its_tasks_in_a_queue_with_little_room(conn: Connection, engine: Engine) -> None:
    set_queue(conn, "little", concurrent=1)
    held = limited(conn, 5, queue="little", concurrent=4)
    others = limited(conn, 5, concurrent=4)
    assert settle(engine) == [held[0], *others[:3]]


@pytest.mark.parametrize("bound", ["_LOOKED_AT", "_HELD_BACK"])
def test_what_was_published_before_its_queue_had_a_limit_waits_and_is_taken_from_the_workers(
    conn: Connection, engine: Engine, worker: Worker, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Else they meet it message by message, and what is granted waits behind all of it."""
    monkeypatch.setattr(f"taskyard.lifecycle.limit_backlog.{bound}", 3)
    ids = plain(conn, 8)
    elsewhere = plain(conn, 2, "free")
    worker.claim(ids[:1])
    granting = Granting()
    kept_turn(engine, granting)
    set_queue(conn, concurrent=2)
    turns = [kept_turn(engine, granting) for _ in range(4)]
    assert [[p.task_id for p in done.withdrawn] for done in turns] == [ids[1:4], ids[4:7], ids[7:], []]
    assert {(p.queue, p.number) for done in turns for p in done.withdrawn} == {("default", 1)}
    assert [done.answer.due_in for done in turns[:2]] == [0.0, 0.0], "it goes on at once"
    published = [(p.task_id, p.is_first) for done in turns for p in done.publications]
    assert published == [(ids[1], True)], "beside the one that runs, and before what has yet to be withdrawn"
    assert stands(conn, ids) == {None: 1, "granted": 1, "waiting": 6}
    assert stands(conn, elsewhere) == {None: 2}
    set_queue(conn, concurrent=None)
    freed = [p for _ in range(3) for p in kept_turn(engine, granting).publications]
    assert sorted((p.task_id, p.is_first) for p in freed) == [(i, False) for i in ids[2:]]


def test_a_walk_that_was_undone_begins_again(conn: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskyard.lifecycle.limit_backlog._LOOKED_AT", 2)
    ids = plain(conn, 4)
    granting = Granting()
    set_queue(conn, per_second=0.001)
    with engine.connect() as undone, undone.begin() as transaction:
        granting.turn(undone)
        transaction.rollback()
    settle(engine, granting)
    for _ in range(3):
        kept_turn(engine, granting)
    assert stands(conn, ids) == {"granted": 1, "waiting": 3}
