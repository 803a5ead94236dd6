"""The desk: capacity is counted right whatever becomes of a claim."""

from __future__ import annotations

import threading
import time
from uuid import uuid4

import pytest

from taskyard_worker.desk import AHEAD_PER_THREAD, BACKLOG, Desk
from taskyard_worker.slots import Phase

from .making import claim_some, claimed, make_desk, make_table

QUEUE = ["default"]


def teach(desk: Desk, queue: str = "default", seconds: float = 0.001, runs: int = 40) -> None:
    """Runs tasks, so that the desk knows how long they take."""
    for _ in range(runs):
        for slot in claim_some(desk, queue=queue):
            desk.begin(slot)
            desk.finished(slot, seconds)
            desk.forget([slot])


def test_nothing_is_claimed_ahead_while_the_run_time_is_unknown() -> None:
    desk = make_desk(4)
    assert desk.room(QUEUE) == 4
    claim_some(desk, 4)
    assert desk.room(QUEUE) == 0


def test_quick_queues_are_claimed_ahead_at_most_four_a_thread() -> None:
    desk = make_desk(4)
    teach(desk, seconds=0.0001)
    assert desk.room(QUEUE) == 4 + 4 * AHEAD_PER_THREAD


def test_what_is_claimed_ahead_can_be_finished_in_100_ms() -> None:
    desk = make_desk(4)
    teach(desk, seconds=0.02)
    assert desk.ahead("default") == 5


def test_one_slow_run_ends_claiming_ahead_at_once() -> None:
    desk = make_desk(4)
    teach(desk)
    teach(desk, seconds=3.0, runs=1)
    assert desk.room(QUEUE) == 4


def test_a_queue_that_was_never_seen_does_not_slow_the_others_down_when_left_out() -> None:
    desk = make_desk(4)
    teach(desk)
    assert desk.room(["default", "never_seen"]) == 4
    assert desk.room(["default"]) == 4 + 4 * AHEAD_PER_THREAD


def test_the_reserve_is_filled_up_again_when_half_of_it_is_used_up() -> None:
    desk = make_desk(4)
    teach(desk)
    slots = claim_some(desk, desk.room(QUEUE))
    for done, slot in enumerate(slots, start=1):
        desk.begin(slot)
        desk.finished(slot, 0.001)
        left = len(slots) - done
        assert desk.room(QUEUE) == (0 if left > 8 else len(slots) - left)


def test_a_claim_that_was_not_won_frees_its_place() -> None:
    table = make_table()
    desk = make_desk(4, table=table)
    slots = desk.enter([uuid4() for _ in range(4)], uuid4())
    assert desk.room(QUEUE) == 0
    assert {entry.phase for entry in table.entries()} == {Phase.CLAIMING}
    assert desk.settle(slots, []) == []
    assert (desk.room(QUEUE), desk.busy, list(table.entries())) == (4, 0, [])


def test_only_what_was_won_is_kept() -> None:
    desk = make_desk(4)
    works = [claimed() for _ in range(3)]
    slots = desk.enter([w.id for w in works], works[0].claim)
    kept = desk.settle(slots, [works[1]])
    assert [slot.work for slot in kept] == [works[1]]
    assert desk.room(QUEUE) == 3


def test_a_finished_task_frees_its_thread_but_stays_until_its_end_is_recorded() -> None:
    table = make_table()
    desk = make_desk(2, table=table)
    (slot,) = claim_some(desk)
    assert desk.begin(slot)
    desk.finished(slot, 1.0)
    assert (desk.room(QUEUE), desk.busy, desk.running) == (2, 1, 0)
    assert [entry.phase for entry in table.entries()] == [Phase.FINISHED]
    desk.forget([slot])
    assert (desk.busy, list(table.entries())) == (0, [])


def test_a_claim_is_begun_by_one_thread_only() -> None:
    desk = make_desk()
    (slot,) = claim_some(desk)
    assert [desk.begin(slot) for _ in range(3)] == [True, False, False]


def test_a_claim_that_was_given_back_is_begun_by_nobody() -> None:
    desk = make_desk()
    slots = claim_some(desk, 2)
    assert desk.begin(slots[0])
    assert desk.give_back() == [slots[1]]
    assert not desk.begin(slots[1])
    assert desk.give_back() == []
    desk.forget(slots[1:])
    assert (desk.room(QUEUE), desk.busy, desk.running) == (3, 1, 1)


def test_only_claims_older_than_asked_for_are_given_back() -> None:
    desk = make_desk()
    claim_some(desk)
    assert desk.give_back(older_than=5.0) == []
    time.sleep(0.02)
    assert len(desk.give_back(older_than=0.01)) == 1


def test_after_a_claim_was_given_back_its_queue_is_not_claimed_ahead() -> None:
    desk = make_desk()
    teach(desk)
    claim_some(desk)
    desk.forget(desk.give_back())
    assert desk.room(QUEUE) == 4


def test_forgetting_twice_does_not_free_the_place_of_the_next_claim() -> None:
    table = make_table()
    desk = make_desk(table=table)
    (first,) = claim_some(desk)
    desk.begin(first)
    desk.finished(first, 1.0)
    desk.forget([first])
    (second,) = claim_some(desk)
    assert second.index == first.index
    desk.forget([first])
    assert [entry.task_id for entry in table.entries()] == [second.task_id]
    assert desk.begin(second)


def test_async_tasks_free_their_thread_when_they_begin_and_their_own_limit_when_they_end() -> None:
    desk = make_desk(2, async_limit=3)
    desk.is_async = lambda name: name == "a.sync"
    slots = claim_some(desk, 2, name="a.sync")
    for slot in slots:
        desk.begin(slot)
    assert (desk.room(QUEUE), desk.running) == (2, 2)
    slots += claim_some(desk, 1, name="a.sync")
    desk.begin(slots[2])
    assert desk.room(QUEUE) == 0, "the event loop has as many as it may have"
    desk.finished(slots[0], 60.0)
    assert desk.room(QUEUE) == 2
    for slot in slots[1:]:
        desk.finished(slot, 60.0)
    desk.forget(slots)
    assert (desk.room(QUEUE), desk.busy, desk.running, desk.runs) == (2, 0, 0, 3)


def test_a_long_async_task_does_not_count_as_the_queue_s_run_time() -> None:
    desk = make_desk(2)
    teach(desk)
    desk.is_async = lambda _: True
    (slot,) = claim_some(desk)
    desk.begin(slot)
    desk.finished(slot, 60.0)
    assert desk.room(QUEUE) > 2


def test_fetching_stops_while_too_many_ends_wait_to_be_recorded_and_places_never_run_out() -> None:
    desk = make_desk(4)
    teach(desk, seconds=0.0001)
    waiting = []
    while room := desk.room(QUEUE):
        for slot in claim_some(desk, room):
            desk.begin(slot)
            desk.finished(slot, 0.0001)
            waiting.append(slot)
    assert BACKLOG // 2 <= len(waiting) <= Desk.table_size(4, 100) - BACKLOG // 2
    desk.forget(waiting)
    assert desk.room(QUEUE) > 0


def test_places_are_neither_lost_nor_doubled_over_many_claims() -> None:
    table = make_table(4)
    desk = make_desk(4, table=table)
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            desk.forget(desk.give_back())

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        for _ in range(2000):
            works = [claimed() for _ in range(3)]
            slots = desk.enter([w.id for w in works], works[0].claim)
            kept = desk.settle(slots, works[:2])
            begun = [slot for slot in kept if desk.begin(slot)]
            for slot in begun:
                desk.finished(slot, 0.2)
            desk.forget(begun)
    finally:
        stop.set()
        keeper.join()
    assert (desk.busy, desk.running, desk.room(QUEUE)) == (0, 0, 4)
    assert sorted(desk._free) == list(range(table.size))
    assert list(table.entries()) == []


@pytest.mark.parametrize("ended", ["finished", "given back", "not won", "begun on the loop"])
def test_whoever_waits_for_room_is_woken_by_it(ended: str) -> None:
    desk = make_desk(1)
    desk.is_async = lambda _: ended == "begun on the loop"
    works = [claimed()]
    slots = desk.enter([works[0].id], works[0].claim)
    if ended != "not won":
        desk.settle(slots, works)
    if ended == "finished":
        desk.begin(slots[0])

    def make_room() -> None:
        time.sleep(0.05)
        match ended:
            case "finished":
                desk.finished(slots[0], 0.0)
            case "given back":
                desk.give_back()
            case "begun on the loop":
                desk.begin(slots[0])
            case _:
                desk.settle(slots, [])

    other = threading.Thread(target=make_room)
    other.start()
    began = time.monotonic()
    assert desk.wait_for_room(QUEUE, 10.0) > 0
    assert time.monotonic() - began < 5
    other.join()


def test_a_wait_for_room_ends_with_its_time_and_when_the_desk_is_closed() -> None:
    desk = make_desk(1)
    claim_some(desk)
    began = time.monotonic()
    assert desk.wait_for_room(QUEUE, 0.05) == 0
    assert 0.04 < time.monotonic() - began < 2
    threading.Timer(0.05, desk.close).start()
    began = time.monotonic()
    assert desk.wait_for_room(QUEUE, 30.0) == 0
    assert time.monotonic() - began < 5


def test_the_oldest_running_task_of_each_queue_is_known() -> None:
    desk = make_desk(4)
    slots = [*claim_some(desk, queue="a"), *claim_some(desk, queue="a"), *claim_some(desk, queue="b")]
    claim_some(desk, queue="c")
    for slot in slots:
        desk.begin(slot)
    assert desk.begun_since() == {"a": slots[0].claimed_at, "b": slots[2].claimed_at}
