"""The consumer: from Redis to claims, losing nothing on the way and running nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard_worker.child import consumer as consumer_module
from taskyard_worker.child import fetcher as fetcher_module
from taskyard_worker.child.broker import ChildBroker
from taskyard_worker.child.fetcher import requeue_fetched
from taskyard_worker.slots import Phase
from tests.integration.worker.harness import QUEUES, Harness


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 0.1)


def test_waiting_tasks_are_claimed_in_one_update_and_acknowledged_at_once(harness: Harness) -> None:
    ids = harness.put(3)
    child = harness.child()
    slots = child.take()
    assert [slot.task_id for slot in slots] == ids
    assert len({slot.claim for slot in slots}) == 1
    assert harness.states(ids) == ["running"] * 3
    assert (harness.waiting(), harness.payloads(), child.unacknowledged()) == (0, 0, 0)
    rows = harness.query("SELECT DISTINCT claim FROM task")
    assert [row.claim for row in rows] == [slots[0].claim]


def test_no_more_is_fetched_than_there_is_room_for(harness: Harness) -> None:
    ids = harness.put(10)
    child = harness.child(harness.claim_table(threads=4))
    first = child.take()
    assert [slot.task_id for slot in first] == ids[:4]
    assert child.take() == []
    assert harness.waiting() == 6
    child.finish(first)
    assert len(child.take()) == 4


def test_a_message_delivered_twice_within_one_fetch_is_claimed_once_and_all_copies_are_acknowledged(
    harness: Harness,
) -> None:
    (task_id,) = ids = harness.put()
    harness.publish(ids)  # the same Redis id again
    harness.publish(ids, number=2)
    child = harness.child()
    assert [slot.task_id for slot in child.take()] == [task_id]
    assert (harness.waiting(), harness.payloads(), child.unacknowledged()) == (0, 0, 0)
    assert child.table.busy == 1


def test_a_message_delivered_again_later_is_acknowledged_and_runs_nothing(harness: Harness) -> None:
    ids = harness.put()
    child = harness.child()
    assert len(child.take()) == 1
    harness.publish(ids, number=2)
    assert child.take() == []
    assert (harness.waiting(), harness.payloads(), child.unacknowledged(), child.table.busy) == (0, 0, 0, 1)


def test_tasks_that_were_cancelled_or_done_meanwhile_are_acknowledged_and_free_their_slots(
    harness: Harness,
) -> None:
    ids = harness.put(3)
    harness.execute("UPDATE task SET state = 'cancelled', finished_at = now() WHERE id = :id", id=ids[1])
    child = harness.child()
    assert [slot.task_id for slot in child.take()] == [ids[0], ids[2]]
    assert (child.unacknowledged(), harness.payloads(), child.table.busy) == (0, 0, 2)


def test_missing_and_undecodable_payloads_delay_no_task_and_are_removed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 30.0)
    queue, messages = harness.names.queue("default"), harness.names.messages("default")
    for n in range(20):
        harness.client.rpush(queue, f"gone{n}")
        harness.client.hset(messages, f"junk{n}", b"\xff{" if n % 2 else b'{"args": []}')
        harness.client.rpush(queue, f"junk{n}")
    ids = harness.put(2)
    child = harness.child(harness.claim_table(threads=2))
    began = time.monotonic()
    assert [slot.task_id for slot in child.take()] == ids
    assert time.monotonic() - began < 20, "none of the forty costs a wait"
    child.finish([])
    child.fetcher.doubt()
    child.fetcher.sweep()
    assert (child.unacknowledged(), harness.payloads(), harness.waiting()) == (0, 0, 0)


def test_an_id_that_was_queued_twice_is_forgotten_before_the_next_fetch(harness: Harness) -> None:
    child = harness.child(harness.claim_table(threads=1))
    (task_id,) = harness.put()
    harness.publish([task_id])  # as by a relay that died before it deleted its outbox row
    child.finish(child.take())
    child.take()
    child.take()
    assert (child.unacknowledged(), harness.payloads(), harness.waiting()) == (0, 0, 0)


def test_other_children_can_fetch_at_once_what_a_dead_child_had_fetched(harness: Harness) -> None:
    ids = harness.put(3)
    dead, other = harness.child(), harness.child()
    claimed = harness.claim(ids[:1])
    fetched = dead.fetcher.fetch(3, ["default"])
    assert list(fetched) == ids
    requeue_fetched(harness.client, harness.names, QUEUES, dead.broker.broker_id)
    assert dead.unacknowledged() == 0
    taken = sorted(slot.task_id for slot in other.take())
    assert taken == ids[1:], "what was claimed is not won twice"
    assert [work.id for work in claimed] == ids[:1]
    assert (harness.waiting(), harness.payloads(), other.unacknowledged()) == (0, 0, 0)


def test_a_message_under_a_wrong_id_is_not_requeued_for_ever(harness: Harness) -> None:
    (task_id,) = harness.put()
    payload: Any = harness.client.hget(harness.names.messages("default"), f"{task_id}:1")
    harness.client.hset(harness.names.messages("default"), "alias", payload)
    harness.client.rpush(harness.names.queue("default"), "alias")
    child = harness.child()
    assert len(child.take()) == 1
    for _ in range(2):
        child.fetcher.doubt()
        child.fetcher.sweep()
    assert (child.unacknowledged(), harness.waiting(), harness.payloads()) == (0, 0, 0)


def test_the_claims_are_in_the_slot_table_before_postgresql_is_asked(harness: Harness) -> None:
    (task_id,) = harness.put()
    seen: list[tuple[UUID, UUID, Phase]] = []
    table = harness.claim_table()

    def looking(ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        seen.extend((e.task_id, e.claim, e.phase) for e in table._table.entries())
        return harness.claim(ids, claim)

    (slot,) = harness.child(table, claim=looking).take()
    assert seen == [(task_id, slot.claim, Phase.CLAIMING)]


def test_a_wake_up_ends_the_wait_at_once(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 30.0)
    child = harness.child()
    threading.Timer(0.2, harness.put).start()
    began = time.monotonic()
    assert len(child.take()) == 1
    assert time.monotonic() - began < 20


def test_a_drain_ends_the_wait_for_a_wake_up_and_nothing_is_fetched_any_more(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 30.0)
    child = harness.child()
    draining = threading.Timer(0.2, child.consumer.drain)
    draining.start()
    began = time.monotonic()
    assert child.take() == []
    assert time.monotonic() - began < 20
    draining.join()
    ids = harness.put()
    assert child.take(2) == []
    assert child.consumer.is_drained
    assert (harness.states(ids), harness.waiting()) == (["queued"], 1)


def test_messages_of_a_paused_queue_stay_in_redis_and_the_others_go_on(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PAUSED_SECONDS", 60.0)
    paused, others = harness.put(3), harness.put(2, queue="high")
    harness.execute("UPDATE queue SET paused_at = now() WHERE name = 'default'")
    child = harness.child(harness.claim_table(threads=8))
    assert [slot.task_id for slot in child.take(2)] == others
    assert harness.states(paused) == ["queued"] * 3
    assert (harness.waiting(), child.unacknowledged()) == (3, 0)
    more = harness.put(1)
    asked: list[str] = []
    fetch = child.broker.do_fetch

    def listening(queue: str, count: int) -> Any:
        asked.append(queue)
        return fetch(queue, count)

    monkeypatch.setattr(child.broker, "do_fetch", listening, raising=False)
    assert child.take(2) == []
    assert (harness.waiting(), set(asked)) == (4, {"high"}), "a paused queue is not asked again and again"
    monkeypatch.undo()
    harness.execute("UPDATE queue SET paused_at = NULL")
    child.consumer.resume(["default", "not_served_here"])
    assert [slot.task_id for slot in child.take()] == paused + more, "in their order"


def test_a_resume_ends_the_wait_of_a_child_that_was_refused_a_paused_queue(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 30.0)
    monkeypatch.setattr(consumer_module, "PAUSED_SECONDS", 60.0)
    ids = harness.put(2)
    harness.execute("UPDATE queue SET paused_at = now()")
    child = harness.child()

    def resume() -> None:
        harness.execute("UPDATE queue SET paused_at = NULL")
        child.consumer.resume(["default"])

    threading.Timer(0.5, resume).start()
    began = time.monotonic()
    taken: list[UUID] = []
    while len(taken) < 2:
        taken += [slot.task_id for slot in child.take()]
    assert taken == ids
    assert time.monotonic() - began < 20, "not after the time for which it had closed the queue"


def test_a_queue_that_is_resumed_while_a_child_is_refused_it_is_not_closed(harness: Harness) -> None:
    def too_late(ids: Sequence[UUID]) -> list[Refusal]:
        child.consumer.resume(["default"])
        return [Refusal(i, "default", "", "paused") for i in ids]

    harness.put(1, name="tests.unknown")
    child = harness.child(refusals=too_late)
    child.consumer._step()
    assert (harness.waiting(), child.fetcher._closed_until["default"]) == (1, 0.0)


def test_tasks_of_an_unknown_type_are_put_off(harness: Harness) -> None:
    known, unknown = harness.put(1), harness.put(2, name="tests.unknown")
    child = harness.child()
    assert [slot.task_id for slot in child.take()] == known
    assert sorted(child.were_put_off) == unknown
    assert (harness.waiting(), child.unacknowledged()) == (0, 0)


def _for_others(ids: Sequence[UUID]) -> list[Refusal]:
    return [Refusal(i, "default", "", "elsewhere") for i in ids]


def test_what_other_workers_run_goes_back_to_redis_for_them_and_a_child_that_waits_is_woken(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = harness.put(2, name="tests.unknown")
    child = harness.child(refusals=_for_others)
    harness.client.delete(harness.names.wake("default"))
    child.consumer._step()
    assert (harness.waiting(), child.unacknowledged(), child.were_put_off) == (2, 0, [])
    assert harness.states(ids) == ["queued"] * 2
    assert harness.client.llen(harness.names.wake("default")) == 1
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 0.02)
    child.fetcher.close("default", 60.0)
    child.take()
    assert harness.client.llen(harness.names.wake("default")) == 1, "it does not take the wake-up of those others"


def test_a_queue_with_nothing_but_work_for_others_is_asked_less_and_less(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.put(3, name="tests.unknown")
    asked: list[float] = []
    rests: list[float] = []

    def refusals(ids: Sequence[UUID]) -> list[Refusal]:
        asked.append(time.monotonic())
        return _for_others(ids)

    child = harness.child(refusals=refusals)
    close = child.fetcher.close

    def resting(queue: str, seconds: float) -> None:
        rests.append(seconds)
        close(queue, seconds)

    monkeypatch.setattr(child.fetcher, "close", resting)
    until = time.monotonic() + 60
    while len(asked) < 5:
        assert time.monotonic() < until, asked
        child.take()
    assert all(at + rest <= following for (at, following), rest in zip(pairwise(asked), rests, strict=False))
    doubled = [0.1, 0.2, 0.4, 0.8, 1.6]
    assert [most / 2 <= rest <= most for rest, most in zip(rests, doubled, strict=True)] == [True] * 5, rests
    assert harness.waiting() == 3
    # What it can run is taken all the same, and ends that.
    known = harness.put(1)
    taken: list[UUID] = []
    while not taken and time.monotonic() < until:
        taken += [slot.task_id for slot in child.take()]
    assert taken == known
    assert not child.consumer._rests


def test_the_queue_named_first_is_served_first_and_the_other_gets_its_share(harness: Harness) -> None:
    low, high = set(harness.put(120)), set(harness.put(120, queue="high"))
    child = harness.child(harness.claim_table(threads=1))
    for _ in range(77):
        child.finish(child.take())
    left = {r.id for r in harness.query("SELECT id FROM task WHERE state = 'queued'")}
    assert (len(high - left), len(low - left)) == (70, 7), "one for ten"


def test_a_task_of_a_higher_queue_is_seen_although_that_was_empty_a_moment_ago(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "_EMPTY_SECONDS", 60.0)
    child = harness.child(harness.claim_table(threads=1))
    harness.put(20)
    child.finish(child.take())
    child.finish(child.take())
    assert "high" not in child.fetcher.open_queues()
    (wanted,) = harness.put(1, queue="high")
    time.sleep(0.03)
    assert [slot.task_id for slot in child.take()] == [wanted]


def test_a_known_empty_queue_is_not_asked_for_a_while_and_does_not_limit_the_others(harness: Harness) -> None:
    child = harness.child(harness.claim_table(threads=2, clock=lambda: 1.0))  # threads are free just now, always
    harness.put(60)
    for _ in range(15):
        slots = child.take()
        for slot in slots:
            assert child.table.begin(slot)
            child.table.finished(slot, 0.001)
            child.table.freed(slot, 0.001)
        child.table.forget(slots)
    harness.put(40)
    child.fetcher.close("high", 60.0)
    assert len(child.take()) > 2, "claimed ahead, though the run time of `high` is unknown"


def test_tens_of_thousands_of_deliveries_leave_nothing_behind(harness: Harness) -> None:
    child = harness.child(harness.claim_table(threads=8))
    ids = harness.submit(2_000)
    for start in range(0, 2_000, 500):
        harness.publish(ids[start : start + 500])
        harness.publish(ids[start : start + 500], number=2)
    done = 0
    while harness.waiting():
        slots = child.take()
        for slot in slots:
            assert child.table.begin(slot)
            child.table.finished(slot, 0.0001)
            child.table.freed(slot, 0.0001)
        child.table.forget(slots)
        done += len(slots)
    assert done == 2_000
    assert (child.unacknowledged(), harness.payloads(), child.table.busy, child.consumer._calls) == (0, 0, 0, 0)
    assert len(child.table._free) == child.table._table.size


def test_only_one_consumer_is_made_and_it_delays_nothing(harness: Harness) -> None:
    broker = ChildBroker(harness.child().consumer.next_message)
    broker.declare_queue("lanes")
    assert broker.get_declared_queues() == {"lanes"}
    assert broker.get_declared_delay_queues() == set()
    with pytest.raises(RuntimeError):
        broker.enqueue(uuid4())  # type: ignore[arg-type]
