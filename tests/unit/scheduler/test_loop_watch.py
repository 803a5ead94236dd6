"""A scheduler with a stuck loop ends, so that it is restarted; one whose process was frozen goes on."""

import pytest

from taskyard_scheduler.loop_watch import LoopWatch
from tests.support.scheduling import Clock

SECONDS = 15.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loops(clock: Clock) -> LoopWatch:
    return LoopWatch(("jobs", "promotion"), clock=clock)


def test_a_stuck_loop_is_named(loops: LoopWatch, clock: Clock) -> None:
    for _ in range(int(SECONDS) + 1):
        assert loops.stuck(after_seconds=SECONDS) is None
        clock.now += 1.0
        loops.turned("promotion")
    assert loops.stuck(after_seconds=SECONDS) == "jobs"
    loops.turned("jobs")
    assert loops.stuck(after_seconds=SECONDS) is None


def test_after_a_freeze_of_the_whole_process_all_loops_get_the_full_time_again(loops: LoopWatch, clock: Clock) -> None:
    assert loops.stuck(after_seconds=SECONDS) is None
    clock.now += 60.0
    assert loops.stuck(after_seconds=SECONDS) is None
    found = None
    for _ in range(int(SECONDS) + 1):
        assert found is None
        clock.now += 1.0
        found = loops.stuck(after_seconds=SECONDS)
    assert found == "jobs", "no loop turned again"
