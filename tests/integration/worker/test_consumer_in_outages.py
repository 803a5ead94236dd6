"""The consumer in outages: answers get lost, servers are away, other tasks cannot be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.store import ledger
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from taskyard_worker.child import fetcher as fetcher_module
from taskyard_worker.child.slot import Slot
from tests.integration.worker.harness import NAME, Harness
from tests.support.fleet import wait_for


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 0.1)


def test_messages_whose_fetch_answer_got_lost_are_found_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = harness.put(3)
    child = harness.child()
    fetch = child.broker.do_fetch
    lost: list[object] = []

    def lossy(queue: str, count: int) -> Any:
        answer = fetch(queue, count)
        if answer and not lost:
            lost.append(answer)
            raise redis.TimeoutError("the answer got lost")
        return answer

    monkeypatch.setattr(child.broker, "do_fetch", lossy, raising=False)
    assert child.take() == []
    assert child.unacknowledged() == 3
    assert sorted(slot.task_id for slot in child.take(3)) == ids
    assert child.unacknowledged() == 0


def test_messages_of_one_queue_are_not_lost_where_the_fetch_from_the_next_queue_fails(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = sorted(harness.put(2, queue="high") + harness.put(2))
    child = harness.child(harness.claim_table(threads=8))
    fetch = child.broker.do_fetch
    calls: list[str] = []

    def failing(queue: str, count: int) -> Any:
        calls.append(queue)
        if len(calls) == 2:
            raise redis.ConnectionError("gone")
        return fetch(queue, count)

    monkeypatch.setattr(child.broker, "do_fetch", failing, raising=False)
    assert child.take() == []
    assert sorted(slot.task_id for slot in child.take(4)) == wanted
    assert (child.unacknowledged("high"), child.unacknowledged()) == (0, 0)


def test_a_claim_runs_although_its_message_could_not_be_acknowledged_and_runs_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = harness.put(2)
    child = harness.child()
    acknowledge = child.fetcher.acknowledge
    failures = [redis.ConnectionError("gone")]

    def failing(messages: Any) -> None:
        if failures:
            raise failures.pop()
        acknowledge(messages)

    monkeypatch.setattr(child.fetcher, "acknowledge", failing)
    assert [slot.task_id for slot in child.take()] == ids
    assert child.unacknowledged() == 2
    assert child.take(3) == []
    assert (child.unacknowledged(), harness.waiting(), harness.payloads(), child.table.busy) == (0, 0, 0, 2)


def test_a_claim_whose_answer_got_lost_is_found_again_with_the_same_claim_id(harness: Harness) -> None:
    ids = harness.put(2)
    asked: list[UUID] = []

    def lossy(some: Sequence[UUID], claim: UUID) -> list[Claimed]:
        asked.append(claim)
        won = harness.claim(some, claim)
        if len(asked) == 1:
            raise LedgerUnavailable("the answer got lost")
        return won

    child = harness.child(claim=lossy)
    slots = child.take()
    assert [slot.task_id for slot in slots] == ids
    assert len(set(asked)) == 1
    assert [row.attempt for row in harness.query("SELECT attempt FROM task")] == [1, 1]


def test_while_postgresql_is_away_claims_wait_and_are_tried_again(own_harness: Harness, own_postgres: Postgres) -> None:
    ids = own_harness.put(3)
    child = own_harness.child()
    own_postgres.stop()
    back = threading.Timer(1.5, own_postgres.start)
    back.start()
    slots = child.take()
    back.join()
    assert [slot.task_id for slot in slots] == ids
    assert own_harness.states(ids) == ["running"] * 3
    assert child.unacknowledged() == 0


def test_a_claim_that_waits_too_long_for_a_row_is_tried_again_and_its_message_is_kept(
    harness: Harness, database_url: str
) -> None:
    (wanted,) = harness.put()
    hasty = ledger.make_engine(database_url, pool_size=1, statement_timeout=timedelta(milliseconds=200))
    tries: list[UUID] = []

    def claim(some: Sequence[UUID], token: UUID) -> list[Claimed]:
        tries.append(token)
        won = ledger.run(
            hasty,
            lambda conn: claims.claim(
                conn, some, claim=token, worker_id=harness.worker_id, worker="w:0", types={NAME: 1}
            ),
        )
        return won.answer

    child = harness.child(claim=claim)
    taken: list[Slot] = []
    thread = threading.Thread(target=lambda: taken.extend(child.take()))
    with ledger.transaction(harness.engine) as conn:
        conn.execute(sa.text("SELECT FROM task WHERE id = :id FOR UPDATE"), {"id": wanted})
        thread.start()
        wait_for(lambda: len(tries) >= 3 or not thread.is_alive(), 30, "some tries")
    thread.join(30)
    hasty.dispose()
    assert ([slot.task_id for slot in taken], child.unreadable) == ([wanted], [])


def test_a_drain_while_postgresql_is_away_puts_the_messages_back(harness: Harness) -> None:
    ids = harness.put(3)
    away = threading.Event()

    def claim(some: Sequence[UUID], claim_id: UUID) -> list[Claimed]:
        away.set()
        raise LedgerUnavailable("away")

    child = harness.child(claim=claim)
    thread = threading.Thread(target=lambda: [child.consumer.next_message() for _ in range(2)])
    thread.start()
    assert away.wait(30)
    drained_at_first = child.consumer.is_drained
    child.consumer.drain()
    thread.join(30)
    assert (drained_at_first, child.consumer.is_drained) == (False, True)
    assert (harness.waiting(), child.unacknowledged(), child.table.busy) == (3, 0, 0)
    assert harness.states(ids) == ["queued"] * 3
    assert [slot.task_id for slot in harness.child().take()] == ids


def test_while_redis_is_away_nothing_is_raised_and_work_goes_on_once_it_is_back(
    own_harness: Harness, own_valkey: Valkey
) -> None:
    ids = own_harness.put(2)
    child = own_harness.child()
    own_valkey.stop()
    began = time.monotonic()
    assert child.take(3) == []
    assert 0.1 < time.monotonic() - began < 20, "neither a busy loop nor a standstill"
    own_valkey.start()
    assert [slot.task_id for slot in child.take_until(2)] == ids


def test_the_consumer_survives_an_outage_of_redis_during_its_wait_for_a_wake_up(
    own_harness: Harness, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 2.0)
    child = own_harness.child()
    assert child.take() == []
    killing = threading.Timer(0.3, own_valkey.kill)
    killing.start()
    assert child.take() == []
    killing.join()
    own_valkey.start()
    ids = own_harness.put()
    assert [slot.task_id for slot in child.take_until(1)] == ids


def test_a_worker_that_was_given_up_leaves_the_messages_to_others(harness: Harness) -> None:
    ids = harness.put(5)
    harness.execute("UPDATE worker SET lost_at = now() WHERE id = :id", id=harness.worker_id)
    child = harness.child()
    assert child.take(3) == []
    assert (harness.waiting(), child.unacknowledged(), child.table.busy) == (5, 0, 0)
    harness.worker_id = harness.register()
    other = harness.child(harness.claim_table(threads=8))
    assert sorted(slot.task_id for slot in other.take()) == ids


def test_a_queue_that_is_resumed_while_its_tasks_are_refused_loses_no_message(harness: Harness) -> None:
    ids = harness.put(2)
    harness.execute("UPDATE queue SET paused_at = now() WHERE name = 'default'")

    def claim(some: Sequence[UUID], claim: UUID) -> list[Claimed]:
        won = harness.claim(some, claim)
        harness.execute("UPDATE queue SET paused_at = NULL WHERE name = 'default'")
        return won

    child = harness.child(claim=claim)
    assert child.take() == []
    assert (harness.waiting(), harness.payloads(), child.unacknowledged()) == (2, 2, 0)
    assert sorted(slot.task_id for slot in child.take_until(2)) == ids


def test_an_answer_about_refusals_that_does_not_come_loses_neither_claims_nor_messages(harness: Harness) -> None:
    paused, others = harness.put(2), harness.put(2, queue="high")
    harness.execute("UPDATE queue SET paused_at = now() WHERE name = 'default'")
    failures = [LedgerUnavailable("away"), RuntimeError("a bug")]

    def refusals(ids: Sequence[UUID]) -> list[Refusal]:
        if failures:
            raise failures.pop()
        return harness.refusals(ids)

    child = harness.child(harness.claim_table(threads=8), refusals=refusals)
    assert [slot.task_id for slot in child.take(6)] == others
    assert (harness.waiting(), child.unacknowledged(), child.unacknowledged("high")) == (2, 0, 0)
    assert (harness.states(paused), child.table.busy) == (["queued"] * 2, 2)


def test_a_claim_that_cannot_be_counted_is_handed_on_all_the_same(harness: Harness) -> None:
    ids = harness.put(2)

    def won(*_: object) -> None:
        raise KeyError("a bug")

    child = harness.child(count=won)
    assert [slot.task_id for slot in child.take()] == ids
    child.take(3)
    assert (child.unacknowledged(), harness.waiting()) == (0, 0)


def test_a_task_that_cannot_be_read_fails_alone_and_the_others_run(harness: Harness) -> None:
    ids = harness.put(5)
    poisoned = ids[3]

    def claim(wanted: Sequence[UUID], claim_id: UUID) -> list[Claimed]:
        won = harness.claim(wanted, claim_id)  # committed, and then its answer cannot be decoded
        if poisoned in wanted:
            raise ValueError("year 10000 is out of range")
        return won

    child = harness.child(claim=claim)
    taken = [slot.task_id for slot in child.take(3)]
    assert sorted(taken) == sorted(set(ids) - {poisoned})
    assert child.unreadable == [poisoned]
    assert child.unacknowledged() == 0


def test_a_full_redis_is_emptied(own_harness: Harness) -> None:
    """It refuses whatever would enlarge it, and Dramatiq's fetch is of that kind."""
    harness = own_harness
    child = harness.child(harness.claim_table(threads=4))
    harness.put(1)
    assert len(child.take_until(1)) == 1
    wanted = sorted(harness.put(20))
    # One that was fetched and whose answer got lost: it cannot be put back into a full Redis.
    child.broker.do_fetch("default", 1)
    child.fetcher.doubt()
    harness.client.config_set("maxmemory", 1)
    with pytest.raises(redis.OutOfMemoryError):
        harness.client.set("anything", 1)

    taken = child.take_until(3)
    child.finish(taken)
    while len(taken) < 19:
        more = child.take_until(1)
        child.finish(more)
        taken += more
    assert harness.waiting() == 0
    assert harness.payloads() == child.unacknowledged() == 1

    harness.client.config_set("maxmemory", 0)
    taken += child.take_until(1)
    assert sorted(slot.task_id for slot in taken) == wanted
    assert harness.payloads() == child.unacknowledged() == 0
