"""Pauses between children that die young."""

from __future__ import annotations

from taskyard_worker.supervisor.pool import Restarts

from .making import Clock


def test_the_pause_doubles_up_to_a_bound_and_is_forgiven_after_a_minute() -> None:
    clock = Clock()
    restarts = Restarts(clock, lambda: 1.0)
    assert restarts.pause <= 0
    pauses = []
    for _ in range(8):
        restarts.slow_down()
        pauses.append(restarts.pause)
        clock.now += restarts.pause
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15]
    clock.now += 61
    restarts.slow_down()
    assert restarts.pause == 0.5


def test_the_first_failures_may_cost_no_pause() -> None:
    clock = Clock()
    restarts = Restarts(clock, lambda: 1.0)
    pauses = []
    for _ in range(5):
        restarts.slow_down(free=3)
        pauses.append(max(0.0, restarts.pause))
    assert pauses == [0, 0, 0, 0.5, 1]
