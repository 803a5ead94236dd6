"""Dead letters go again in single file, however many ask at the same time, or are put away for good."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import State
from taskyard.lifecycle import cancel, promote, retry
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.replay import Handled
from taskyard.lifecycle.replay import discard_dead_letters as discard
from taskyard.lifecycle.replay import replay_dead_letters as replay
from taskyard.lifecycle.replay import restore_dead_letters as restore
from taskyard.store import dead_letters, ledger, timeline
from taskyard.store.audit import Actor
from taskyard.store.dead_letters import Wanted
from taskyard.store.persons import ERASED

from .rows import PAST, events, put, read, register, state_of

OPS = Actor("ops")
RATE = 50.0
STEP = timedelta(seconds=1) / RATE
LIFE = timedelta(days=1)


@pytest.fixture(autouse=True)
def queues(conn: Connection) -> None:
    register(conn, queues=["default", "low_priority"])


def dead(conn: Connection, count: int, **columns: Any) -> list[UUID]:
    return [put(conn, State.FAILED, **columns) for _ in range(count)]


def again(conn: Connection, *ids: UUID, **more: Any) -> Committed[Handled]:
    return replay(conn, Wanted(ids=ids), by=OPS, life=LIFE, **{"per_second": RATE, **more})


def due(conn: Connection, ids: list[UUID]) -> list[datetime]:
    return [read(conn, task_id).due_at for task_id in ids]


def now(conn: Connection) -> datetime:
    found: datetime = conn.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return found


def test_replays_are_due_one_after_the_other_the_oldest_first(conn: Connection) -> None:
    ids = dead(conn, 5)
    begun = now(conn)
    done = again(conn, *reversed(ids))
    assert (done.answer.matched, done.answer.changed) == (5, ids)
    assert {c.state for c in done.changes} == {State.SCHEDULED}
    times = due(conn, ids)
    assert begun <= times[0] <= now(conn)
    assert [later - earlier for earlier, later in pairwise(times)] == [STEP] * 4


def test_one_task_goes_at_once_where_nothing_else_is_on_its_way(conn: Connection) -> None:
    (task_id,) = dead(conn, 1)
    again(conn, task_id)
    promoted = promote.promote(conn)
    assert [c.task_id for c in promoted.changes] == [task_id]
    assert state_of(conn, task_id) is State.QUEUED


def test_a_later_replay_stands_behind_those_that_wait(conn: Connection) -> None:
    first, second = dead(conn, 3), dead(conn, 3)
    again(conn, *first)
    again(conn, *second)
    times = due(conn, first + second)
    assert [later - earlier for earlier, later in pairwise(times)] == [STEP] * 5


def test_a_pause_is_no_credit(conn: Connection) -> None:
    """After an hour without replays the next thousand don't go at once."""
    conn.execute(sa.text("INSERT INTO pace VALUES ('replay', now() - interval '1 hour')"))
    ids, begun = dead(conn, 3), now(conn)
    again(conn, *ids)
    times = due(conn, ids)
    assert times[0] >= begun
    assert times[2] - times[0] == 2 * STEP


def test_the_rate_holds_over_callers_that_come_together(conn: Connection, engine: Engine) -> None:
    groups = [dead(conn, 20) for _ in range(6)]

    def one(ids: list[UUID]) -> Committed[Handled]:
        return ledger.run_transaction(engine, lambda conn: again(conn, *ids))

    with ThreadPoolExecutor(len(groups)) as pool:
        assert [len(done.changes) for done in pool.map(one, groups)] == [20] * 6
    times = sorted(due(conn, [task_id for ids in groups for task_id in ids]))
    assert min(later - earlier for earlier, later in pairwise(times)) >= STEP


def test_callers_who_want_the_same_share_it(conn: Connection, engine: Engine) -> None:
    ids = dead(conn, 100)
    calls: list[Callable[[Connection], Committed[Handled]]] = [
        lambda conn: replay(conn, Wanted(name="email.send"), by=OPS, life=LIFE, per_second=RATE),
        lambda conn: again(conn, *reversed(ids)),
        lambda conn: discard(conn, Wanted(), by=OPS),
    ] * 2
    with ThreadPoolExecutor(len(calls)) as pool:
        done = list(pool.map(lambda call: ledger.run_transaction(engine, call), calls))
    assert sorted(i for one in done for i in one.answer.changed) == ids
    handled = [kind for task_id in ids for kind in events(conn, task_id)]
    assert len(handled) == 100


def test_a_replay_has_the_budgets_and_the_history_of_a_retry(conn: Connection) -> None:
    columns: dict[str, Any] = {"crashes": 3, "suspicions": 1, "put_offs": 2, "expires_at": sa.func.now() + PAST}
    one, other = (put(conn, State.FAILED, **columns) for _ in range(2))
    again(conn, one)
    retry.retry(conn, [other], life=LIFE, actor="ops")
    differ = {"id", "state", "run_at", "due_at", "queued_at", "publication", "expires_at", "created_at"}
    first, second = (dict(read(conn, i)._mapping) for i in (one, other))
    assert {k: v for k, v in first.items() if k not in differ} == {k: v for k, v in second.items() if k not in differ}
    assert first["expires_at"] == first["due_at"] + LIFE
    assert events(conn, one) == events(conn, other) == ["retried"]
    told = conn.execute(sa.text("SELECT data ->> 'due_at' FROM task_event WHERE task_id = :id"), {"id": one}).scalar()
    assert (str(told)[-1], datetime.fromisoformat(str(told))) == ("Z", first["due_at"])


def test_only_dead_letters_are_touched(conn: Connection) -> None:
    others = {state: put(conn, state) for state in State if state not in {State.FAILED, State.RUNNING}}
    discarded = put(conn, State.FAILED, discarded_at=sa.func.now())
    ids = [*others.values(), discarded, new_id()]
    for wanted in (Wanted(ids=ids), Wanted()):
        assert dead_letters.page(conn, wanted) == []
        assert dead_letters.count(conn, wanted) == 0
        assert replay(conn, wanted, by=OPS, life=LIFE, per_second=RATE).answer == Handled(0, [])
        assert discard(conn, wanted, by=OPS).answer == Handled(0, [])
    assert {state_of(conn, task_id) for task_id in others.values()} == set(others)
    assert not conn.execute(sa.text("SELECT FROM pace")).all()
    assert not conn.execute(sa.text("SELECT FROM audit")).all()


def test_what_is_discarded_stays_failed_and_may_still_be_retried_by_its_id(conn: Connection) -> None:
    (task_id,) = dead(conn, 1)
    assert discard(conn, Wanted(ids=[task_id]), by=OPS).answer.changed == [task_id]
    row = read(conn, task_id)
    assert (row.state, row.discarded_at is not None, row.error["code"]) == ("failed", True, "smtp_refused")
    assert dead_letters.page(conn, Wanted()) == []
    told = timeline.timeline(conn, task_id)
    assert told is not None
    # A failure that left no row of its own is told before what came after it.
    assert [(e.kind, e.data.get("by")) for e in told.events[1:]] == [("failed", None), ("discarded", "ops")]
    retry.retry(conn, [task_id], life=LIFE)
    assert read(conn, task_id).discarded_at is None


def test_discarding_moves_no_event_that_was_told_before(conn: Connection) -> None:
    (task_id,) = dead(conn, 1)

    def told() -> list[timeline.TimelineEvent]:
        found = timeline.timeline(conn, task_id)
        assert found is not None
        return found.events

    before = told()
    discard(conn, Wanted(ids=[task_id]), by=OPS)
    assert told()[: len(before)] == before


def test_each_filter_finds_its_own(conn: Connection, engine: Engine) -> None:
    plain = put(conn, State.FAILED)
    named = put(conn, State.FAILED, name="data.sync")
    elsewhere = put(conn, State.FAILED, queue="low_priority")
    coded = put(conn, State.FAILED, error={"code": "expired", "attempt": 1})
    old = put(
        conn,
        State.FAILED,
        id=UUID(int=(1_700_000_000_000 << 80) + 1),
        created_at=sa.text("to_timestamp(1700000000)"),
    )
    everything = {plain, named, elsewhere, coded, old}
    border = now(conn) - timedelta(hours=1)
    for wanted, expected in (
        (Wanted(), everything),
        (Wanted(name="data.sync"), {named}),
        (Wanted(queue="low_priority"), {elsewhere}),
        (Wanted(code="expired"), {coded}),
        (Wanted(code="smtp_refused"), everything - {coded}),
        (Wanted(code="smtp_refused", name="data.sync", queue="default"), {named}),
        (Wanted(created_before=border), {old}),
        (Wanted(created_after=border), everything - {old}),
        (Wanted(queues=frozenset({"low_priority"})), {elsewhere}),
        (Wanted(queues=frozenset({"low_priority"}), queue="default"), set()),
        (Wanted(ids=[plain, coded], queues=frozenset({"default"}), code="expired"), {coded}),
    ):
        page = dead_letters.page(conn, wanted)
        assert {row["id"] for row in page} == expected, wanted
        assert [row["id"] for row in page] == sorted((row["id"] for row in page), reverse=True)
        assert dead_letters.count(conn, wanted) == len(expected)
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as undone:
            done = discard(undone, wanted, by=OPS)
            assert set(done.answer.changed) == expected
            undone.rollback()


def test_no_more_than_the_limit_is_changed_and_all_that_match_are_counted(conn: Connection) -> None:
    ids = dead(conn, 5)
    done = replay(conn, Wanted(), by=OPS, life=LIFE, per_second=RATE, limit=2)
    assert (done.answer.matched, done.answer.changed) == (5, ids[:2])
    put_away = discard(conn, Wanted(), by=OPS, limit=2)
    assert (put_away.answer.matched, put_away.answer.changed) == (3, ids[2:4])


def test_the_audit_log_has_one_row_for_all(conn: Connection) -> None:
    ids = dead(conn, 3)
    replay(conn, Wanted(name="email.send"), by=OPS, life=LIFE, per_second=RATE, limit=2)
    discard(conn, Wanted(ids=ids), by=OPS)
    first, second = conn.execute(sa.text("SELECT * FROM audit ORDER BY id")).mappings()
    told = {"filter": {"name": "email.send"}, "matched": 3, "changed": 2, "ids": [str(i) for i in ids[:2]]}
    assert (first["action"], first["details"]) == ("dead_letters.retry", told)
    assert (second["action"], second["details"]["ids"]) == ("dead_letters.discard", [str(ids[2])])
    assert (first["target_type"], first["target_id"], first["actor"]) == ("dead_letters", None, "ops")


def test_a_replay_that_waits_can_be_cancelled(conn: Connection) -> None:
    ids = dead(conn, 2)
    again(conn, *ids)
    (cancelled,) = cancel.cancel(conn, ids[1:], actor="ops").answer
    assert cancelled.change.state is State.CANCELLED


def test_what_was_discarded_is_a_dead_letter_again(conn: Connection) -> None:
    first, second, third = dead(conn, 3)
    discard(conn, Wanted(ids=[first, second]), by=OPS)
    discarded = Wanted(discarded=True)
    assert [row["id"] for row in dead_letters.page(conn, discarded)] == [second, first]
    done = restore(conn, replace(discarded, ids=[first, third]), by=OPS)
    assert (done.answer.matched, done.answer.changed) == (1, [first])
    assert [row["id"] for row in dead_letters.page(conn, Wanted())] == [third, first]
    told = timeline.timeline(conn, first)
    assert told is not None
    assert [e.kind for e in told.events[1:]] == ["failed", "discarded", "restored"]
    assert conn.execute(sa.text("SELECT action FROM audit ORDER BY id DESC")).scalar() == "dead_letters.restore"


def test_discarded_ones_are_found_by_when_they_were_discarded(conn: Connection) -> None:
    old, new = dead(conn, 2)
    border = now(conn)
    for task_id, at in ((old, border - timedelta(hours=1)), (new, border + timedelta(hours=1))):
        discard(conn, Wanted(ids=[task_id]), by=OPS)
        conn.execute(sa.text("UPDATE task SET discarded_at = :at WHERE id = :id"), {"at": at, "id": task_id})
    assert restore(conn, Wanted(discarded=True, discarded_before=border), by=OPS).answer.changed == [old]
    assert restore(conn, Wanted(discarded=True, discarded_after=border), by=OPS).answer.changed == [new]


def test_what_was_erased_with_a_person_is_not_restored(conn: Connection) -> None:
    (task_id,) = dead(conn, 1)
    discard(conn, Wanted(), by=OPS)
    conn.execute(sa.text("UPDATE task SET params = :erased WHERE id = :id"), {"erased": ERASED, "id": task_id})
    assert restore(conn, Wanted(discarded=True), by=OPS).answer == Handled(1, [])
