"""The claim table: capacity is counted right whatever becomes of a claim."""

from __future__ import annotations

import threading
import time
from uuid import uuid4

import pytest

from taskyard_worker.child.claim_table import ClaimTable
from taskyard_worker.slots import AHEAD_PER_THREAD, BACKLOG, Phase, table_size

from .making import claim_some, claimed, make_claim_table, make_slot_table

QUEUE = ["default"]


def teach(claims: ClaimTable, queue: str = "default", seconds: float = 0.001, runs: int = 40) -> None:
    """Runs tasks, so that the claim table knows how long they take."""
    for _ in range(runs):
        for slot in claim_some(claims, queue=queue):
            claims.begin(slot)
            claims.finished(slot, seconds)
            claims.forget([slot])


def test_nothing_is_claimed_ahead_while_the_run_time_is_unknown() -> None:
    claims = make_claim_table(4)
    assert claims.room(QUEUE) == 4
    claim_some(claims, 4)
    assert claims.room(QUEUE) == 0


def test_quick_queues_are_claimed_ahead_at_most_four_a_thread() -> None:
    claims = make_claim_table(4)
    teach(claims, seconds=0.0001)
    assert claims.room(QUEUE) == 4 + 4 * AHEAD_PER_THREAD


def test_what_is_claimed_ahead_can_be_finished_in_100_ms() -> None:
    claims = make_claim_table(4)
    teach(claims, seconds=0.02)
    assert claims._prefetch.ahead("default") == 5


def test_one_slow_run_ends_claiming_ahead_at_once() -> None:
    claims = make_claim_table(4)
    teach(claims)
    teach(claims, seconds=3.0, runs=1)
    assert claims.room(QUEUE) == 4


def test_a_queue_that_was_never_seen_does_not_slow_the_others_down_when_left_out() -> None:
    claims = make_claim_table(4)
    teach(claims)
    assert claims.room(["default", "never_seen"]) == 4
    assert claims.room(["default"]) == 4 + 4 * AHEAD_PER_THREAD


def test_the_reserve_is_filled_up_again_when_half_of_it_is_used_up() -> None:
    claims = make_claim_table(4)
    teach(claims)
    slots = claim_some(claims, claims.room(QUEUE))
    for done, slot in enumerate(slots, start=1):
        claims.begin(slot)
        claims.finished(slot, 0.001)
        left = len(slots) - done
        assert claims.room(QUEUE) == (0 if left > 8 else len(slots) - left)


def test_a_claim_that_was_not_won_frees_its_place() -> None:
    table = make_slot_table()
    claims = make_claim_table(4, table=table)
    slots = claims.enter([uuid4() for _ in range(4)], uuid4())
    assert claims.room(QUEUE) == 0
    assert {entry.phase for entry in table.entries()} == {Phase.CLAIMING}
    assert claims.settle(slots, []) == []
    assert (claims.room(QUEUE), claims.busy, list(table.entries())) == (4, 0, [])


def test_only_what_was_won_is_kept() -> None:
    claims = make_claim_table(4)
    works = [claimed() for _ in range(3)]
    slots = claims.enter([w.id for w in works], works[0].claim)
    kept = claims.settle(slots, [works[1]])
    assert [slot.work for slot in kept] == [works[1]]
    assert claims.room(QUEUE) == 3


def test_a_finished_task_frees_its_thread_but_stays_until_its_end_is_recorded() -> None:
    table = make_slot_table()
    claims = make_claim_table(2, table=table)
    (slot,) = claim_some(claims)
    assert claims.begin(slot)
    claims.finished(slot, 1.0)
    assert (claims.room(QUEUE), claims.busy, claims.running) == (2, 1, 0)
    assert [entry.phase for entry in table.entries()] == [Phase.FINISHED]
    claims.forget([slot])
    assert (claims.busy, list(table.entries())) == (0, [])


def test_a_claim_is_begun_by_one_thread_only() -> None:
    claims = make_claim_table()
    (slot,) = claim_some(claims)
    assert [claims.begin(slot) for _ in range(3)] == [True, False, False]


def test_a_claim_that_was_given_back_does_not_begin() -> None:
    claims = make_claim_table()
    slots = claim_some(claims, 2)
    assert claims.begin(slots[0])
    assert claims.give_back() == [slots[1]]
    assert not claims.begin(slots[1])
    assert claims.give_back() == []
    claims.forget(slots[1:])
    assert (claims.room(QUEUE), claims.busy, claims.running) == (3, 1, 1)


def test_only_claims_older_than_asked_for_are_given_back() -> None:
    claims = make_claim_table()
    claim_some(claims)
    assert claims.give_back(older_than=5.0) == []
    time.sleep(0.02)
    assert len(claims.give_back(older_than=0.01)) == 1


def test_after_a_claim_was_given_back_its_queue_is_not_claimed_ahead() -> None:
    claims = make_claim_table()
    teach(claims)
    claim_some(claims)
    claims.forget(claims.give_back())
    assert claims.room(QUEUE) == 4


def test_forgetting_twice_does_not_free_the_place_of_the_next_claim() -> None:
    table = make_slot_table()
    claims = make_claim_table(table=table)
    (first,) = claim_some(claims)
    claims.begin(first)
    claims.finished(first, 1.0)
    claims.forget([first])
    (second,) = claim_some(claims)
    assert second.index == first.index
    claims.forget([first])
    assert [entry.task_id for entry in table.entries()] == [second.task_id]
    assert claims.begin(second)


def test_async_tasks_free_their_thread_when_they_begin_and_their_own_limit_when_they_end() -> None:
    claims = make_claim_table(2, async_limit=3, async_types={"a.sync"})
    slots = claim_some(claims, 2, name="a.sync")
    for slot in slots:
        claims.begin(slot)
    assert (claims.room(QUEUE), claims.running) == (2, 2)
    slots += claim_some(claims, 1, name="a.sync")
    claims.begin(slots[2])
    assert claims.room(QUEUE) == 0, "the event loop has as many as it may have"
    claims.finished(slots[0], 60.0)
    assert claims.room(QUEUE) == 2
    for slot in slots[1:]:
        claims.finished(slot, 60.0)
    claims.forget(slots)
    assert (claims.room(QUEUE), claims.busy, claims.running, claims.runs) == (2, 0, 0, 3)


def test_a_long_async_task_does_not_count_as_the_queue_s_run_time() -> None:
    claims = make_claim_table(2, async_types={"a.sync"})
    teach(claims)
    (slot,) = claim_some(claims, name="a.sync")
    claims.begin(slot)
    claims.finished(slot, 60.0)
    assert claims.room(QUEUE) > 2


def test_fetching_stops_while_too_many_ends_wait_to_be_recorded_and_slots_never_run_out() -> None:
    claims = make_claim_table(4)
    teach(claims, seconds=0.0001)
    waiting = []
    while room := claims.room(QUEUE):
        for slot in claim_some(claims, room):
            claims.begin(slot)
            claims.finished(slot, 0.0001)
            waiting.append(slot)
    assert BACKLOG // 2 <= len(waiting) <= table_size(4, 100) - BACKLOG // 2
    claims.forget(waiting)
    assert claims.room(QUEUE) > 0


def test_slots_are_neither_lost_nor_doubled_over_many_claims() -> None:
    table = make_slot_table(4)
    claims = make_claim_table(4, table=table)
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            claims.forget(claims.give_back())

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        for _ in range(2000):
            works = [claimed() for _ in range(3)]
            slots = claims.enter([w.id for w in works], works[0].claim)
            kept = claims.settle(slots, works[:2])
            begun = [slot for slot in kept if claims.begin(slot)]
            for slot in begun:
                claims.finished(slot, 0.2)
            claims.forget(begun)
    finally:
        stop.set()
        keeper.join()
    assert (claims.busy, claims.running, claims.room(QUEUE)) == (0, 0, 4)
    assert sorted(claims._free) == list(range(table.size))
    assert list(table.entries()) == []


@pytest.mark.parametrize("ended", ["finished", "given back", "not won", "begun on the loop"])
def test_a_wait_for_room_ends_when_there_is_room(ended: str) -> None:
    works = [claimed()]
    claims = make_claim_table(1, async_types={works[0].name} if ended == "begun on the loop" else ())
    slots = claims.enter([works[0].id], works[0].claim)
    if ended != "not won":
        claims.settle(slots, works)
    if ended == "finished":
        claims.begin(slots[0])

    def make_room() -> None:
        time.sleep(0.05)
        match ended:
            case "finished":
                claims.finished(slots[0], 0.0)
            case "given back":
                claims.give_back()
            case "begun on the loop":
                claims.begin(slots[0])
            case _:
                claims.settle(slots, [])

    other = threading.Thread(target=make_room)
    other.start()
    began = time.monotonic()
    assert claims.wait_for_room(QUEUE, 10.0) > 0
    assert time.monotonic() - began < 5
    other.join()


def test_a_wait_for_room_ends_with_its_time_and_when_the_table_is_closed() -> None:
    claims = make_claim_table(1)
    claim_some(claims)
    began = time.monotonic()
    assert claims.wait_for_room(QUEUE, 0.05) == 0
    assert 0.04 < time.monotonic() - began < 2
    threading.Timer(0.05, claims.close).start()
    began = time.monotonic()
    assert claims.wait_for_room(QUEUE, 30.0) == 0
    assert time.monotonic() - began < 5


def test_the_oldest_running_task_of_each_queue_is_known() -> None:
    claims = make_claim_table(4)
    slots = [*claim_some(claims, queue="a"), *claim_some(claims, queue="a"), *claim_some(claims, queue="b")]
    claim_some(claims, queue="c")
    for slot in slots:
        claims.begin(slot)
    assert claims.begun_since() == {"a": slots[0].claimed_at, "b": slots[2].claimed_at}
