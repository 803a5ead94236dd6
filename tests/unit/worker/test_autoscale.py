"""When a worker wants one child more, and when one fewer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from taskyard.domain.processes import ProcessRange
from taskyard_worker.supervisor.autoscale import SHRINK_SECONDS, WINDOW_SECONDS, Autoscale

from .making import Clock


class Worker:
    """Children of four threads."""

    def __init__(self, minimum: int, maximum: int, *, wanted: int | None = None) -> None:
        self.clock = Clock()
        self.scale = Autoscale(minimum=minimum, maximum=maximum, threads=4, clock=self.clock)
        self.scale.wanted = wanted or minimum

    def after(self, seconds: float, *held: Sequence[int]) -> int:
        """What is wanted where the children held so much in turn, for so long."""
        turns = cycle(held)
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += 0.25
            self.scale.look(next(turns))
        return self.scale.wanted


def test_it_grows_one_by_one_up_to_the_maximum_while_no_thread_is_free() -> None:
    worker = Worker(1, 3)
    assert worker.after(WINDOW_SECONDS - 0.25, [4]) == 1
    assert worker.after(0.25, [4]) == 2
    assert worker.after(60, [4]) == 2, "the second one is not there yet"
    assert worker.after(WINDOW_SECONDS, [4, 4]) == 3
    assert worker.after(60, [4, 4, 4]) == 3


def test_threads_that_are_free_for_a_moment_between_two_tasks_do_not_keep_it_small() -> None:
    assert Worker(1, 2).after(WINDOW_SECONDS, [4], [3], [4], [4]) == 2


def test_a_burst_or_a_free_thread_is_no_reason_to_grow() -> None:
    assert Worker(1, 3).after(60, [4], [4], [0], [0]) == 1
    assert Worker(1, 3).after(60, [3]) == 1


def test_it_shrinks_one_by_one_down_to_the_minimum_once_fewer_would_do() -> None:
    worker = Worker(1, 3, wanted=3)
    assert worker.after(SHRINK_SECONDS - WINDOW_SECONDS, [2, 2, 2]) == 3
    assert worker.after(WINDOW_SECONDS, [4, 4, 1]) == 3, "it was needed"
    assert worker.after(SHRINK_SECONDS, [2, 2, 2]) == 2
    assert worker.after(SHRINK_SECONDS, [0, 0]) == 1
    assert worker.after(300, [0]) == 1


def test_what_it_shrinks_to_is_enough_so_that_it_does_not_grow_again() -> None:
    for load in range(9):
        worker = Worker(1, 2, wanted=2)
        if worker.after(2 * SHRINK_SECONDS, [min(load, 4), max(0, load - 4)]) == 1:
            assert worker.after(2 * SHRINK_SECONDS, [load]) == 1


def test_many_async_tasks_in_one_child_ask_for_one_more_and_no_third() -> None:
    worker = Worker(1, 4)
    assert worker.after(WINDOW_SECONDS, [90]) == 2
    assert worker.after(300, [90, 0]) == 2


def test_with_other_bounds_it_keeps_what_it_has_within_them_and_measures_anew() -> None:
    worker = Worker(2, 4, wanted=3)
    worker.after(WINDOW_SECONDS - 0.25, [4, 4, 4])
    wanted = []
    for bounds in ((1, 8), (5, 8), (1, 2), (4, 4)):
        worker.scale.resize(ProcessRange(*bounds))
        wanted.append(worker.scale.wanted)
    assert wanted == [3, 5, 2, 4]
    assert worker.scale.is_fixed
    worker.scale.resize(ProcessRange(1, 8))
    assert worker.after(WINDOW_SECONDS - 0.25, [4] * 4) == 4
    assert worker.after(0.25, [4] * 4) == 5
