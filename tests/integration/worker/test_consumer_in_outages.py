"""The lane where things go wrong: answers get lost, servers are away, neighbours fail."""

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
from taskyard_worker.child.claim_table import Slot
from tests.integration.worker.harness import NAME, Bench
from tests.support.fleet import wait_for


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 0.1)


def test_messages_whose_fetch_answer_got_lost_are_found_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = bench.put(3)
    lane = bench.lane()
    fetch = lane.broker.do_fetch
    lost: list[object] = []

    def lossy(queue: str, count: int) -> Any:
        answer = fetch(queue, count)
        if answer and not lost:
            lost.append(answer)
            raise redis.TimeoutError("the answer got lost")
        return answer

    monkeypatch.setattr(lane.broker, "do_fetch", lossy, raising=False)
    assert lane.take() == []
    assert lane.unacknowledged() == 3
    assert sorted(slot.task_id for slot in lane.take(3)) == ids
    assert lane.unacknowledged() == 0


def test_what_one_queue_gave_is_not_lost_where_the_next_queue_s_fetch_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = sorted(bench.put(2, queue="high") + bench.put(2))
    lane = bench.lane(bench.desk(threads=8))
    fetch = lane.broker.do_fetch
    calls: list[str] = []

    def failing(queue: str, count: int) -> Any:
        calls.append(queue)
        if len(calls) == 2:
            raise redis.ConnectionError("gone")
        return fetch(queue, count)

    monkeypatch.setattr(lane.broker, "do_fetch", failing, raising=False)
    assert lane.take() == []
    assert sorted(slot.task_id for slot in lane.take(4)) == wanted
    assert (lane.unacknowledged("high"), lane.unacknowledged()) == (0, 0)


def test_a_claim_runs_although_its_message_could_not_be_acknowledged_and_runs_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = bench.put(2)
    lane = bench.lane()
    acknowledge = lane.inbox.acknowledge
    failures = [redis.ConnectionError("gone")]

    def failing(letters: Any) -> None:
        if failures:
            raise failures.pop()
        acknowledge(letters)

    monkeypatch.setattr(lane.inbox, "acknowledge", failing)
    assert [slot.task_id for slot in lane.take()] == ids
    assert lane.unacknowledged() == 2
    assert lane.take(3) == []
    assert (lane.unacknowledged(), bench.waiting(), bench.payloads(), lane.desk.busy) == (0, 0, 0, 2)


def test_a_claim_whose_answer_got_lost_is_found_again_with_the_same_claim_id(bench: Bench) -> None:
    ids = bench.put(2)
    asked: list[UUID] = []

    def lossy(some: Sequence[UUID], claim: UUID) -> list[Claimed]:
        asked.append(claim)
        won = bench.claim(some, claim)
        if len(asked) == 1:
            raise LedgerUnavailable("the answer got lost")
        return won

    lane = bench.lane(claim=lossy)
    slots = lane.take()
    assert [slot.task_id for slot in slots] == ids
    assert len(set(asked)) == 1
    assert [row.attempt for row in bench.query("SELECT attempt FROM task")] == [1, 1]


def test_while_postgresql_is_away_claims_wait_and_are_tried_again(
    own_bench: Bench, own_servers: tuple[Postgres, Valkey]
) -> None:
    postgres, _ = own_servers
    ids = own_bench.put(3)
    lane = own_bench.lane()
    postgres.stop()
    back = threading.Timer(1.5, postgres.start)
    back.start()
    slots = lane.take()
    back.join()
    assert [slot.task_id for slot in slots] == ids
    assert own_bench.states(ids) == ["running"] * 3
    assert lane.unacknowledged() == 0


def test_a_claim_that_waits_too_long_for_a_row_is_tried_again_and_its_message_is_kept(
    bench: Bench, database_url: str
) -> None:
    (wanted,) = bench.put()
    hasty = ledger.make_engine(database_url, pool_size=1, statement_timeout=timedelta(milliseconds=200))
    tries: list[UUID] = []

    def claim(some: Sequence[UUID], token: UUID) -> list[Claimed]:
        tries.append(token)
        return ledger.run(
            hasty,
            lambda conn: claims.claim(conn, some, claim=token, worker_id=bench.worker_id, worker="w:0", types=[NAME]),
        )

    lane = bench.lane(claim=claim)
    taken: list[Slot] = []
    thread = threading.Thread(target=lambda: taken.extend(lane.take()))
    with ledger.transaction(bench.engine) as conn:
        conn.execute(sa.text("SELECT FROM task WHERE id = :id FOR UPDATE"), {"id": wanted})
        thread.start()
        wait_for(lambda: len(tries) >= 3 or not thread.is_alive(), 30, "some tries")
    thread.join(30)
    hasty.dispose()
    assert ([slot.task_id for slot in taken], lane.given_up) == ([wanted], [])


def test_a_drain_while_postgresql_is_away_puts_the_messages_back(bench: Bench) -> None:
    ids = bench.put(3)
    away = threading.Event()

    def claim(some: Sequence[UUID], claim_id: UUID) -> list[Claimed]:
        away.set()
        raise LedgerUnavailable("away")

    lane = bench.lane(claim=claim)
    thread = threading.Thread(target=lambda: [lane.lane.next_message() for _ in range(2)])
    thread.start()
    assert away.wait(30)
    drained_at_first = lane.lane.is_drained
    lane.lane.drain()
    thread.join(30)
    assert (drained_at_first, lane.lane.is_drained) == (False, True)
    assert (bench.waiting(), lane.unacknowledged(), lane.desk.busy) == (3, 0, 0)
    assert bench.states(ids) == ["queued"] * 3
    assert [slot.task_id for slot in bench.lane().take()] == ids


def test_while_redis_is_away_nothing_is_raised_and_work_goes_on_once_it_is_back(
    own_bench: Bench, own_servers: tuple[Postgres, Valkey]
) -> None:
    _, valkey = own_servers
    ids = own_bench.put(2)
    lane = own_bench.lane()
    valkey.stop()
    began = time.monotonic()
    assert lane.take(3) == []
    assert 0.1 < time.monotonic() - began < 20, "neither a busy loop nor a standstill"
    valkey.start()
    assert [slot.task_id for slot in lane.take_until(2)] == ids


def test_redis_going_away_during_the_wait_for_a_wake_up_is_survived(
    own_bench: Bench, own_servers: tuple[Postgres, Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 2.0)
    _, valkey = own_servers
    lane = own_bench.lane()
    assert lane.take() == []
    killing = threading.Timer(0.3, valkey.kill)
    killing.start()
    assert lane.take() == []
    killing.join()
    valkey.start()
    ids = own_bench.put()
    assert [slot.task_id for slot in lane.take_until(1)] == ids


def test_a_worker_that_was_given_up_leaves_the_messages_to_others(bench: Bench) -> None:
    ids = bench.put(5)
    bench.execute("UPDATE worker SET lost_at = now() WHERE id = :id", id=bench.worker_id)
    lane = bench.lane()
    assert lane.take(3) == []
    assert (bench.waiting(), lane.unacknowledged(), lane.desk.busy) == (5, 0, 0)
    bench.worker_id = bench.register()
    other = bench.lane(bench.desk(threads=8))
    assert sorted(slot.task_id for slot in other.take()) == ids


def test_a_queue_that_is_resumed_while_its_tasks_are_refused_loses_no_message(bench: Bench) -> None:
    ids = bench.put(2)
    bench.execute("UPDATE queue SET paused_at = now() WHERE name = 'default'")

    def claim(some: Sequence[UUID], claim: UUID) -> list[Claimed]:
        won = bench.claim(some, claim)
        bench.execute("UPDATE queue SET paused_at = NULL WHERE name = 'default'")
        return won

    lane = bench.lane(claim=claim)
    assert lane.take() == []
    assert (bench.waiting(), bench.payloads(), lane.unacknowledged()) == (2, 2, 0)
    assert sorted(slot.task_id for slot in lane.take_until(2)) == ids


def test_an_answer_about_refusals_that_does_not_come_loses_neither_claims_nor_messages(bench: Bench) -> None:
    paused, others = bench.put(2), bench.put(2, queue="high")
    bench.execute("UPDATE queue SET paused_at = now() WHERE name = 'default'")
    failures = [LedgerUnavailable("away"), RuntimeError("a bug")]

    def refusals(ids: Sequence[UUID]) -> list[Refusal]:
        if failures:
            raise failures.pop()
        return lane.refusals(ids)

    lane = bench.lane(bench.desk(threads=8), refusals=refusals)
    assert [slot.task_id for slot in lane.take(6)] == others
    assert (bench.waiting(), lane.unacknowledged(), lane.unacknowledged("high")) == (2, 0, 0)
    assert (bench.states(paused), lane.desk.busy) == (["queued"] * 2, 2)


def test_whoever_is_told_of_the_claims_may_fail_without_costing_one(bench: Bench) -> None:
    ids = bench.put(2)

    def won(*_: object) -> None:
        raise KeyError("a bug")

    lane = bench.lane(won=won)
    assert [slot.task_id for slot in lane.take()] == ids
    lane.take(3)
    assert (lane.unacknowledged(), bench.waiting()) == (0, 0)


def test_a_task_that_cannot_be_read_fails_alone_and_its_neighbours_run(bench: Bench) -> None:
    ids = bench.put(5)
    poisoned = ids[3]

    def claim(wanted: Sequence[UUID], claim_id: UUID) -> list[Claimed]:
        won = bench.claim(wanted, claim_id)  # committed, and then its answer cannot be decoded
        if poisoned in wanted:
            raise ValueError("year 10000 is out of range")
        return won

    lane = bench.lane(claim=claim)
    taken = [slot.task_id for slot in lane.take(3)]
    assert sorted(taken) == sorted(set(ids) - {poisoned})
    assert lane.given_up == [poisoned]
    assert lane.unacknowledged() == 0


def test_a_full_redis_is_emptied(own_bench: Bench) -> None:
    """It refuses whatever would enlarge it, and Dramatiq's fetch is of that kind."""
    bench = own_bench
    lane = bench.lane(bench.desk(threads=4))
    bench.put(1)
    assert len(lane.take_until(1)) == 1
    wanted = sorted(bench.put(20))
    # One that was fetched and whose answer got lost: it cannot be put back into a full Redis.
    lane.broker.do_fetch("default", 1)
    lane.inbox.doubt()
    bench.client.config_set("maxmemory", 1)
    with pytest.raises(redis.OutOfMemoryError):
        bench.client.set("anything", 1)

    taken = lane.take_until(3)
    lane.finish(taken)
    while len(taken) < 19:
        more = lane.take_until(1)
        lane.finish(more)
        taken += more
    assert bench.waiting() == 0
    assert bench.payloads() == lane.unacknowledged() == 1

    bench.client.config_set("maxmemory", 0)
    taken += lane.take_until(1)
    assert sorted(slot.task_id for slot in taken) == wanted
    assert bench.payloads() == lane.unacknowledged() == 0
