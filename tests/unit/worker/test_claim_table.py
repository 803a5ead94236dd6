"""The claim table: capacity is counted right whatever becomes of a claim."""

from __future__ import annotations

import threading
import time
from uuid import uuid4

import pytest

from taskyard_worker.child.claim_table import ClaimTable
from taskyard_worker.slots import AHEAD_PER_THREAD, BACKLOG, Phase, table_size

from .making import Clock, claim_some, claimed, make_claim_table, make_slot_table

QUEUE = ["default"]


def teach(
    claims: ClaimTable, queue: str = "default", seconds: float = 0.001, runs: int = 40, taken: float | None = None
) -> None:
    """Runs tasks, so that the claim table knows how long they take."""
    for _ in range(runs):
        for slot in claim_some(claims, queue=queue):
            claims.begin(slot)
            claims.finished(slot, seconds)
            claims.freed(slot, taken or seconds)
            claims.forget([slot])


def test_nothing_is_claimed_ahead_while_the_run_time_is_unknown() -> None:
    claims = make_claim_table(4)
    assert claims.room(QUEUE) == 4
    claim_some(claims, 4)
    assert claims.room(QUEUE) == 0


def test_quick_queues_are_claimed_ahead_at_most_16_a_thread() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims, seconds=0.0001)
    assert claims.room(QUEUE) == 4 + 4 * AHEAD_PER_THREAD


def test_what_is_claimed_ahead_can_be_finished_in_100_ms() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims, seconds=0.02)
    assert claims._prefetch.ahead("default") == 5


def test_one_slow_run_ends_claiming_ahead_at_once() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims)
    teach(claims, seconds=3.0, runs=1)
    assert claims.room(QUEUE) == 4


def test_a_queue_that_was_never_seen_does_not_slow_the_others_down_when_left_out() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims)
    assert claims.room(["default", "never_seen"]) == 4
    assert claims.room(["default"]) == 4 + 4 * AHEAD_PER_THREAD


def test_the_reserve_is_filled_up_again_when_half_of_it_is_used_up() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims)
    slots = claim_some(claims, claims.room(QUEUE))
    for done, slot in enumerate(slots, start=1):
        claims.begin(slot)
        claims.finished(slot, 0.001)
        claims.freed(slot, 0.001)
        left = len(slots) - done
        assert claims.room(QUEUE) == (0 if left > 4 * AHEAD_PER_THREAD // 2 else len(slots) - left)


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
    claims.freed(slot, 1.0)
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


def test_a_claim_that_waits_while_the_threads_are_busy_is_given_back_after_100_ms() -> None:
    clock = Clock()
    claims = make_claim_table(clock=clock)
    *busy, waiting = claim_some(claims, claims.threads + 1)
    for slot in busy:
        claims.begin(slot)
    clock.now += 0.09
    assert claims.give_back_stalled() == []
    clock.now += 0.02
    assert claims.give_back_stalled() == [waiting]
    assert not claims.begin(waiting)


def test_a_thread_is_taken_until_all_that_follows_the_function_has_ended() -> None:
    clock = Clock()
    claims = make_claim_table(clock=clock)
    *ended, waiting = claim_some(claims, claims.threads + 1)
    for slot in ended:
        claims.begin(slot)
        claims.finished(slot, 0.001)
    claims.forget(ended)
    assert (claims.room(QUEUE), claims.running, claims.busy) == (0, claims.threads, 1)
    clock.now += 0.11
    assert claims.give_back_stalled() == [waiting], "as behind functions that take so long"
    for slot in ended:
        claims.freed(slot, 0.11)
        claims.freed(slot, 0.11)
    claims.forget([waiting])
    assert (claims.room(QUEUE), claims.running, claims.busy) == (claims.threads, 0, 0)


def test_slow_hooks_count_as_run_time_of_the_queue() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims, seconds=0.0001, taken=0.02)
    assert claims._prefetch.ahead("default") == 5
    teach(claims, seconds=0.0001, taken=0.2, runs=1)
    assert claims._prefetch.ahead("default") == 0


def test_a_thread_whose_task_was_given_up_is_free_once() -> None:
    claims = make_claim_table(2)
    (slot,) = claim_some(claims)
    claims.begin(slot)
    claims.forget([slot])
    claims.finished(slot, 1.0)
    claims.freed(slot, 1.0)
    assert (claims.room(QUEUE), claims.running, claims.runs) == (2, 0, 0)


def test_what_has_not_begun_of_a_queue_is_given_back_and_the_rest_is_kept() -> None:
    claims = make_claim_table()
    (begun,), (waiting,), (other,) = (claim_some(claims, queue=queue) for queue in ("a", "a", "b"))
    claims.begin(begun)
    assert claims.give_back(["a", "c"]) == [waiting]
    assert not claims.begin(waiting)
    assert claims.begin(other)


def test_a_claim_beside_a_free_thread_waits_for_the_consumer() -> None:
    clock = Clock()
    claims = make_claim_table(clock=clock)
    claim_some(claims)
    clock.now += 0.9
    assert claims.give_back_stalled() == []
    clock.now += 0.2
    assert len(claims.give_back_stalled()) == 1


def test_claims_that_quick_tasks_soon_reach_are_kept_beside_a_slow_one() -> None:
    clock = Clock()
    claims = make_claim_table(clock=clock)
    (slow,) = claim_some(claims)
    claims.begin(slow)
    clock.now += 0.5
    claim_some(claims)
    clock.now += 0.05
    assert claims.give_back_stalled() == []


def test_nothing_is_claimed_ahead_while_a_thread_is_busy_for_longer_than_100_ms() -> None:
    clock = Clock()
    claims = make_claim_table(4, clock=clock)
    teach(claims)
    (slow,) = claim_some(claims)
    claims.begin(slow)
    assert claims.room(QUEUE) > 4
    clock.now += 0.11
    teach(claims, runs=1)
    assert claims.room(QUEUE) == 3, "one for each free thread"
    claims.finished(slow, 0.11)
    claims.freed(slow, 0.11)
    teach(claims)
    assert claims.room(QUEUE) == 4, "the slow run is remembered"
    teach(claims)
    assert claims.room(QUEUE) > 4


def test_an_idle_child_claims_for_its_threads_only() -> None:
    clock = Clock()
    claims = make_claim_table(4, clock=clock)
    teach(claims)
    clock.now += 0.11
    assert claims.room(QUEUE) == 4


def test_a_slow_task_among_quick_ones_is_remembered() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims)
    teach(claims, seconds=0.2, runs=1)
    teach(claims, runs=49)
    assert claims.room(QUEUE) == 4
    teach(claims, runs=1)
    assert claims.room(QUEUE) > 4


def test_forgetting_twice_does_not_free_the_place_of_the_next_claim() -> None:
    table = make_slot_table()
    claims = make_claim_table(table=table)
    (first,) = claim_some(claims)
    claims.begin(first)
    claims.finished(first, 1.0)
    claims.freed(first, 1.0)
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
    assert (claims.room(QUEUE), claims.running) == (1, 2)
    slots += claim_some(claims, 1, name="a.sync")
    claims.begin(slots[2])
    assert claims.room(QUEUE) == 0, "the event loop has as many as it may have"
    claims.finished(slots[0], 60.0)
    claims.freed(slots[0], 60.0)
    assert claims.room(QUEUE) == 1
    for slot in slots[1:]:
        claims.finished(slot, 60.0)
        claims.freed(slot, 60.0)
    claims.forget(slots)
    assert (claims.room(QUEUE), claims.busy, claims.running, claims.runs) == (2, 0, 0, 3)


@pytest.mark.parametrize("running", [0, 50, 99])
def test_no_more_coroutines_run_than_may_also_where_quick_tasks_are_claimed_ahead(running: int) -> None:
    claims = make_claim_table(8, async_limit=100, async_types={"a.sync"}, clock=Clock())
    teach(claims)
    assert claims.room(QUEUE) > 100, "it is not known that coroutines come from there"
    for slot in claim_some(claims, running + 1, name="a.sync"):
        claims.begin(slot)
    claims.finished(slot, 60.0)
    unbegun = claim_some(claims, claims.room(QUEUE), name="a.sync")
    assert running + len(unbegun) == 100
    assert claims.room(QUEUE) == 0
    for slot in unbegun[: len(unbegun) // 2]:
        claims.begin(slot)
    assert claims.running + claims.unbegun + claims.room(QUEUE) == 100


def test_beside_coroutines_quick_tasks_are_claimed_many_at_a_time() -> None:
    claims = make_claim_table(8, async_limit=100, async_types={"a.sync"}, clock=Clock())
    teach(claims)
    for slot in claim_some(claims, 50, name="a.sync"):
        claims.begin(slot)
    waiting, rooms = claim_some(claims, claims.room(QUEUE)), []
    for slot in waiting:
        claims.begin(slot)
        claims.finished(slot, 0.001)
        claims.freed(slot, 0.001)
        rooms.append(claims.room(QUEUE))
    assert min(room for room in rooms if room) >= 20


def test_a_long_async_task_does_not_count_as_the_queue_s_run_time() -> None:
    claims = make_claim_table(2, async_types={"a.sync"}, clock=Clock())
    teach(claims)
    (slot,) = claim_some(claims, name="a.sync")
    claims.begin(slot)
    claims.finished(slot, 60.0)
    claims.freed(slot, 60.0)
    assert claims.room(QUEUE) > 2


def test_fetching_stops_while_too_many_ends_wait_to_be_recorded_and_slots_never_run_out() -> None:
    claims = make_claim_table(4, clock=Clock())
    teach(claims, seconds=0.0001)
    waiting = []
    while room := claims.room(QUEUE):
        for slot in claim_some(claims, room):
            claims.begin(slot)
            claims.finished(slot, 0.0001)
            claims.freed(slot, 0.0001)
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
                claims.freed(slot, 0.2)
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
                claims.freed(slots[0], 0.0)
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
    assert 0.04 < time.monotonic() - began < 20
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
