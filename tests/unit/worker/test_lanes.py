"""Lanes: higher queues first, and a share for the lower ones."""

from __future__ import annotations

from collections.abc import Collection

from taskyard_worker.child.lanes import Lanes

QUEUES = ("high", "default", "low")


def _served(lanes: Lanes, waiting: dict[str, int], room: int, rounds: int) -> dict[str, int]:
    """How many tasks of each queue are taken in so many fetches."""
    served = dict.fromkeys(QUEUES, 0)
    for _ in range(rounds):
        left = room
        for queue, most in lanes.turns([q for q in QUEUES if waiting[q]], room):
            taken = min(left, most, waiting[queue])
            waiting[queue] -= taken
            served[queue] += taken
            left -= taken
            lanes.took(queue, taken, _full(waiting))
            if not waiting[queue]:
                lanes.is_empty(queue)
    return served


def _full(waiting: dict[str, int]) -> Collection[str]:
    return {queue for queue, tasks in waiting.items() if tasks}


def test_queues_are_asked_in_the_order_in_which_they_are_named() -> None:
    assert Lanes(QUEUES, 0.1).turns(["low", "high"], 4) == [("high", 4), ("low", 4)]


def test_a_lower_queue_gets_one_task_for_ten_above_it_while_those_never_end() -> None:
    full = dict.fromkeys(QUEUES, 1_000_000)
    served = _served(Lanes(QUEUES, 0.1), full, room=1, rounds=12_100)
    assert served == {"high": 10_000, "default": 1_000, "low": 1_100}, "`low` earns by what `default` gets, too"


def test_the_share_is_the_same_however_many_are_fetched_at_once() -> None:
    for room in (1, 3, 16):
        waiting = {"high": 1_000_000, "default": 0, "low": 1_000_000}
        served = _served(Lanes(QUEUES, 0.25), waiting, room=room, rounds=1_000)
        assert abs(served["low"] / served["high"] - 0.25) < 0.01, room


def test_with_a_share_of_nothing_lower_queues_wait() -> None:
    served = _served(Lanes(QUEUES, 0.0), dict.fromkeys(QUEUES, 1_000), room=4, rounds=100)
    assert served == {"high": 400, "default": 0, "low": 0}


def test_a_queue_that_was_empty_saves_nothing_up() -> None:
    lanes = Lanes(QUEUES, 0.1)
    lanes.took("high", 500, waiting=["high"])
    assert lanes.turns(QUEUES, 4)[0] == ("high", 4)
    lanes.took("high", 500, waiting=QUEUES)
    lanes.is_empty("low")
    assert [queue for queue, _ in lanes.turns(QUEUES, 4)] == ["default", *QUEUES]


def test_what_a_queue_gets_when_nothing_waits_above_it_is_its_share_as_well() -> None:
    lanes = Lanes(QUEUES, 0.1)
    lanes.took("high", 30, waiting=QUEUES)
    lanes.took("low", 3, waiting=QUEUES)
    assert [queue for queue, _ in lanes.turns(["high", "low"], 1)] == ["high", "low"]
