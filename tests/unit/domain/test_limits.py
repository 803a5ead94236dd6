"""Who gets a grant: what keys and queues have room for, the keys in turn."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskyard.domain.limits import QueueStanding, Standing, Waiting, grant


def waiting(*keys: str, queue: str = "q", **limits: Any) -> list[Waiting]:
    return [Waiting(UUID(int=n), queue, key, **limits) for n, key in enumerate(keys)]


def granted(tasks: list[Waiting], queue: QueueStanding, **keys: Standing) -> list[str]:
    """The keys of what is granted, in order."""
    known = {task.key: keys.get(task.key, Standing()) for task in tasks if task.key}
    return [task.key for task in grant(tasks, known, {task.queue: queue for task in tasks}).tasks]


def test_a_key_gets_what_it_has_room_for() -> None:
    tasks = waiting("a", "a", "a", "a", concurrent=3)
    assert granted(tasks, QueueStanding(), a=Standing(held=1)) == ["a", "a"]


def test_a_queue_gives_to_each_key_before_any_key_gets_a_second() -> None:
    tasks = waiting("a", "a", "a", "b", "c", concurrent=9)
    assert granted(tasks, QueueStanding(held=1, concurrent=5)) == ["a", "b", "c", "a"]


def test_what_has_no_key_takes_its_turn_as_one_key() -> None:
    assert granted(waiting("", "", "a", concurrent=9), QueueStanding(concurrent=2)) == ["", "a"]


def test_a_full_key_takes_no_place_of_its_queue() -> None:
    tasks = waiting("full", "full", "b", concurrent=1)
    assert granted(tasks, QueueStanding(concurrent=1), full=Standing(held=1)) == ["b"]


def test_a_paused_queue_gives_nothing() -> None:
    assert not granted(waiting("a", concurrent=1), QueueStanding(paused=True))


def test_a_rate_spaces_what_begins_and_says_when_the_next_one_may() -> None:
    tasks = waiting("a", "a", per_second=10.0)
    given = grant(tasks, {"a": Standing(last=-0.1)}, {"q": QueueStanding()})
    assert given.tasks == tasks[:1]
    assert given.lasts == {"task:a": 0.0}
    assert given.again == {"task:a": 0.1}


def test_a_rate_that_is_faster_than_the_leader_turns_is_caught_up_with() -> None:
    tasks = waiting(*["a"] * 300, per_second=1000.0)
    given = grant(tasks, {"a": Standing(last=-5.0)}, {"q": QueueStanding()})
    assert 100 <= len(given.tasks) <= 102  # of a tenth of a second, however long it was idle


def test_the_rate_of_a_queue_counts_for_all_of_its_keys() -> None:
    tasks = waiting("a", "b", concurrent=1)
    given = grant(tasks, {"a": Standing(), "b": Standing()}, {"q": QueueStanding(last=-0.5, per_second=2.0)})
    assert (given.tasks, given.lasts, given.again) == (tasks[:1], {"queue:q": 0.0}, {})


def test_another_rate_holds_at_once() -> None:
    """What counts is when the last one went, and not when the former rate would have let the next one go."""
    tasks = waiting("a", per_second=100.0)
    assert grant(tasks, {"a": Standing(last=-1.0)}, {"q": QueueStanding()}).tasks == tasks
    (slow,) = waiting("a", per_second=0.001)
    assert grant([slow], {"a": Standing(last=-1.0)}, {"q": QueueStanding()}).again == {"task:a": 999.0}


def test_none_goes_before_an_older_one_of_its_key() -> None:
    (older,), (younger,) = waiting("a", concurrent=1), [Waiting(UUID(int=9), "q", "a", concurrent=3)]
    assert not grant([older, younger], {"a": Standing(held=1)}, {"q": QueueStanding()}).tasks
