"""Claims that wait for a thread: as many threads run them as there is work for, and none of them is left lying."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from taskyard_worker.child.gathering import Gathering
from taskyard_worker.child.waiting import Waiting


def test_a_thread_is_called_for_each_claim_as_far_as_there_are_idle_ones() -> None:
    waiting = Waiting(1)
    slots: Any = list(range(10))
    waiting.come()
    assert waiting.add(slots) == 0, "the one there is comes back to them"
    assert list(iter(waiting.take, None)) == slots
    assert waiting.add(slots[:5]) == 1, "it has found nothing, and is idle"
    assert Waiting(3).add(slots[:2]) == 2
    assert Waiting(3).add(slots) == 3


def test_calls_that_were_not_made_or_got_lost_leave_no_thread_uncalled() -> None:
    waiting = Waiting(3)
    slots: Any = list(range(4))
    for slot in slots:
        waiting.add([slot])
    assert list(iter(waiting.take, None)) == slots
    assert waiting.add(slots) == 3


def test_a_thread_that_was_interrupted_is_called_again() -> None:
    waiting, slots = Waiting(1), list[Any](range(2))
    assert waiting.add(slots) == 1
    waiting.come()
    waiting.leave()
    assert waiting.add([]) == 1, "what it left still waits"


def test_no_claim_is_lost_or_taken_twice_between_threads() -> None:
    waiting, taken = Waiting(4), Counter[int]()
    calls = threading.Semaphore(0)
    is_over = False

    def run() -> None:
        while True:
            calls.acquire()
            if is_over:
                return
            waiting.come()
            while (slot := waiting.take()) is not None:
                taken[slot] += 1  # type: ignore[index]

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    slots: Any = list(range(5_000))
    for start in range(0, 5_000, 3):
        if count := waiting.add(slots[start : start + 3]):
            calls.release(count)
    deadline = time.monotonic() + 20
    while sum(taken.values()) < 5_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    is_over = True
    calls.release(4)
    for thread in threads:
        thread.join(5)
    assert taken == Counter(dict.fromkeys(range(5_000), 1))


def test_what_hurries_waits_for_nothing_else() -> None:
    gathering = Gathering()
    gathering.set()
    gathering.set(hurries=True)
    began = time.monotonic()
    gathering.wait(30)
    assert time.monotonic() - began < 5
    assert not gathering._some.is_set()


def test_what_comes_while_it_gathers_is_in_the_same_turn(monkeypatch: Any) -> None:
    monkeypatch.setattr("taskyard_worker.child.gathering._SECONDS", 20)
    gathering = Gathering()
    gathering.set()
    threading.Timer(0.05, gathering.set, kwargs={"hurries": True}).start()
    began = time.monotonic()
    gathering.wait(30)
    assert 0.04 < time.monotonic() - began < 10
    gathering.wait(0.01)
    assert not gathering._some.is_set()
