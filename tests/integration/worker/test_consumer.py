"""The lane: from Redis to claims, losing nothing on the way and running nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskyard.lifecycle.claim import Claimed
from taskyard_worker.child import fetcher as fetcher_module
from taskyard_worker.child.fetcher import salvage
from taskyard_worker.slots import Phase
from tests.integration.worker.harness import QUEUES, Bench


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 0.1)


def test_what_waits_is_claimed_in_one_update_and_acknowledged_at_once(bench: Bench) -> None:
    ids = bench.put(3)
    lane = bench.lane()
    slots = lane.take()
    assert [slot.task_id for slot in slots] == ids
    assert len({slot.claim for slot in slots}) == 1
    assert bench.states(ids) == ["running"] * 3
    assert (bench.waiting(), bench.payloads(), lane.unacknowledged()) == (0, 0, 0)
    rows = bench.query("SELECT DISTINCT claim FROM task")
    assert [row.claim for row in rows] == [slots[0].claim]


def test_no_more_is_fetched_than_there_is_room_for(bench: Bench) -> None:
    ids = bench.put(10)
    lane = bench.lane(bench.desk(threads=4))
    first = lane.take()
    assert [slot.task_id for slot in first] == ids[:4]
    assert lane.take() == []
    assert bench.waiting() == 6
    lane.finish(first)
    assert len(lane.take()) == 4


def test_a_message_delivered_twice_within_one_fetch_is_claimed_once_and_all_copies_are_acknowledged(
    bench: Bench,
) -> None:
    (task_id,) = ids = bench.put()
    bench.publish(ids)  # the same Redis id again
    bench.publish(ids, number=2)
    lane = bench.lane()
    assert [slot.task_id for slot in lane.take()] == [task_id]
    assert (bench.waiting(), bench.payloads(), lane.unacknowledged()) == (0, 0, 0)
    assert lane.desk.busy == 1


def test_a_message_delivered_again_later_is_acknowledged_and_runs_nothing(bench: Bench) -> None:
    ids = bench.put()
    lane = bench.lane()
    assert len(lane.take()) == 1
    bench.publish(ids, number=2)
    assert lane.take() == []
    assert (bench.waiting(), bench.payloads(), lane.unacknowledged(), lane.desk.busy) == (0, 0, 0, 1)


def test_what_was_cancelled_or_done_meanwhile_is_acknowledged_and_frees_its_place(bench: Bench) -> None:
    ids = bench.put(3)
    bench.execute("UPDATE task SET state = 'cancelled', finished_at = now() WHERE id = :id", id=ids[1])
    lane = bench.lane()
    assert [slot.task_id for slot in lane.take()] == [ids[0], ids[2]]
    assert (lane.unacknowledged(), bench.payloads(), lane.desk.busy) == (0, 0, 2)


def test_payloads_that_are_gone_or_not_ours_hold_nobody_up_and_are_forgotten(bench: Bench) -> None:
    queue, messages = bench.names.queue("default"), bench.names.messages("default")
    for n in range(20):
        bench.client.rpush(queue, f"gone{n}")
        bench.client.hset(messages, f"junk{n}", b"\xff{" if n % 2 else b'{"args": []}')
        bench.client.rpush(queue, f"junk{n}")
    ids = bench.put(2)
    lane = bench.lane(bench.desk(threads=2))
    began = time.monotonic()
    assert [slot.task_id for slot in lane.take()] == ids
    assert time.monotonic() - began < 40 * 0.1, "none of the forty costs a wait"
    lane.finish([])
    lane.inbox.doubt()
    lane.inbox.sweep()
    assert (lane.unacknowledged(), bench.payloads(), bench.waiting()) == (0, 0, 0)


def test_an_id_that_was_queued_twice_is_forgotten_before_the_next_fetch(bench: Bench) -> None:
    lane = bench.lane(bench.desk(threads=1))
    (task_id,) = bench.put()
    bench.publish([task_id])  # as by a relay that died before it deleted its outbox row
    lane.finish(lane.take())
    lane.take()
    lane.take()
    assert (lane.unacknowledged(), bench.payloads(), bench.waiting()) == (0, 0, 0)


def test_what_a_dead_child_had_fetched_is_there_for_others_at_once(bench: Bench) -> None:
    ids = bench.put(3)
    dead, other = bench.lane(), bench.lane()
    claimed = bench.claim(ids[:1])
    fetched = dead.inbox.fetch(3, ["default"])
    assert list(fetched) == ids
    salvage(bench.client, bench.names, QUEUES, dead.broker.broker_id)
    assert dead.unacknowledged() == 0
    taken = sorted(slot.task_id for slot in other.take())
    assert taken == ids[1:], "what was claimed is not won twice"
    assert [work.id for work in claimed] == ids[:1]
    assert (bench.waiting(), bench.payloads(), other.unacknowledged()) == (0, 0, 0)


def test_a_message_under_a_wrong_id_is_not_requeued_for_ever(bench: Bench) -> None:
    (task_id,) = bench.put()
    payload: Any = bench.client.hget(bench.names.messages("default"), f"{task_id}:1")
    bench.client.hset(bench.names.messages("default"), "alias", payload)
    bench.client.rpush(bench.names.queue("default"), "alias")
    lane = bench.lane()
    assert len(lane.take()) == 1
    for _ in range(2):
        lane.inbox.doubt()
        lane.inbox.sweep()
    assert (lane.unacknowledged(), bench.waiting(), bench.payloads()) == (0, 0, 0)


def test_the_claims_are_in_the_slot_table_before_postgresql_is_asked(bench: Bench) -> None:
    (task_id,) = bench.put()
    seen: list[tuple[UUID, UUID, Phase]] = []
    desk = bench.desk()

    def looking(ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        seen.extend((e.task_id, e.claim, e.phase) for e in desk._table.entries())
        return bench.claim(ids, claim)

    (slot,) = bench.lane(desk, claim=looking).take()
    assert seen == [(task_id, slot.claim, Phase.CLAIMING)]


def test_a_wake_up_ends_the_wait_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 4.0)
    lane = bench.lane()
    threading.Timer(0.2, bench.put).start()
    began = time.monotonic()
    assert len(lane.take()) == 1
    assert time.monotonic() - began < 3.5


def test_a_drain_ends_the_wait_for_a_wake_up_and_nothing_is_fetched_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "IDLE_SECONDS", 4.0)
    lane = bench.lane()
    threading.Timer(0.2, lane.lane.drain).start()
    began = time.monotonic()
    assert lane.take() == []
    assert time.monotonic() - began < 3.5
    ids = bench.put()
    assert lane.take(2) == []
    assert lane.lane.is_drained
    assert (bench.states(ids), bench.waiting()) == (["queued"], 1)


def test_messages_of_a_paused_queue_stay_in_redis_and_the_others_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, others = bench.put(3), bench.put(2, queue="high")
    bench.execute("UPDATE queue SET paused_at = now() WHERE name = 'default'")
    lane = bench.lane(bench.desk(threads=8))
    assert [slot.task_id for slot in lane.take(2)] == others
    assert bench.states(paused) == ["queued"] * 3
    assert (bench.waiting(), lane.unacknowledged()) == (3, 0)
    more = bench.put(1)
    asked: list[str] = []
    fetch = lane.broker.do_fetch

    def listening(queue: str, count: int) -> Any:
        asked.append(queue)
        return fetch(queue, count)

    monkeypatch.setattr(lane.broker, "do_fetch", listening, raising=False)
    assert lane.take(2) == []
    assert (bench.waiting(), set(asked)) == (4, {"high"}), "a paused queue is not asked again and again"
    monkeypatch.undo()
    bench.execute("UPDATE queue SET paused_at = NULL")
    lane.inbox._closed_until.clear()
    assert sorted(slot.task_id for slot in lane.take()) == sorted(paused + more)


def test_tasks_of_an_unknown_type_are_put_off(bench: Bench) -> None:
    known, unknown = bench.put(1), bench.put(2, name="tests.unknown")
    lane = bench.lane()
    assert [slot.task_id for slot in lane.take()] == known
    assert sorted(lane.put_off) == unknown
    assert (bench.waiting(), lane.unacknowledged()) == (0, 0)


def test_the_first_queue_leads_most_often_and_the_last_one_does_not_starve(bench: Bench) -> None:
    high, low = set(bench.put(120, queue="high")), set(bench.put(120))
    lane = bench.lane(bench.desk(threads=1))
    for _ in range(80):
        lane.finish(lane.take())
    left = {r.id for r in bench.query("SELECT id FROM task WHERE state = 'queued'")}
    done_high, done_low = len(high - left), len(low - left)
    assert done_high + done_low == 80
    # 3 to 1, give or take four standard deviations.
    assert 44 <= done_high <= 76


def test_a_known_empty_queue_is_not_asked_for_a_while_and_does_not_limit_the_others(bench: Bench) -> None:
    lane = bench.lane(bench.desk(threads=2))
    bench.put(60)
    for _ in range(15):
        slots = lane.take()
        for slot in slots:
            assert lane.desk.begin(slot)
            lane.desk.finished(slot, 0.001)
        lane.desk.forget(slots)
    bench.put(40)
    lane.inbox.close("high", 5.0)
    assert len(lane.take()) > 2, "claimed ahead, though nobody knows how long tasks of `high` run"


def test_tens_of_thousands_of_deliveries_leave_nothing_behind(bench: Bench) -> None:
    lane = bench.lane(bench.desk(threads=8))
    ids = bench.submit(2_000)
    for start in range(0, 2_000, 500):
        bench.publish(ids[start : start + 500])
        bench.publish(ids[start : start + 500], number=2)
    done = 0
    while bench.waiting():
        slots = lane.take()
        for slot in slots:
            assert lane.desk.begin(slot)
            lane.desk.finished(slot, 0.0001)
        lane.desk.forget(slots)
        done += len(slots)
    assert done == 2_000
    assert (lane.unacknowledged(), bench.payloads(), lane.desk.busy, len(lane.lane._ready)) == (0, 0, 0, 0)
    assert len(lane.desk._free) == lane.desk._table.size


def test_only_one_consumer_is_made_and_it_delays_nothing(bench: Bench) -> None:
    lane = bench.lane()
    lane.broker.declare_queue("lanes")
    assert lane.broker.get_declared_queues() == {"lanes"}
    assert lane.broker.get_declared_delay_queues() == set()
    with pytest.raises(RuntimeError):
        lane.broker.enqueue(uuid4())  # type: ignore[arg-type]
