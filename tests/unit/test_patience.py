"""How long a request waits for PostgreSQL, and when it is refused before it waits."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard_api.patience import MAX_TURN_SECONDS, Pace, Patience, begin_request, go_on_for_long, patience


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


async def wait(one: Patience, seconds: float = 60, *, during: Callable[[], None] = lambda: None) -> None:
    async with one.wait():
        during()
        await asyncio.sleep(seconds)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the waits of a request are measured by. The event loop has its own, by which one is cut off."""
    made = Clock()
    monkeypatch.setattr("taskyard_api.patience.time", SimpleNamespace(monotonic=made))
    return made


def test_all_waits_of_a_request_share_its_time(clock: Clock) -> None:
    async def request() -> None:
        one = Patience(1000)
        await wait(one, 0, during=lambda: clock.go_on(999.9))
        for _ in range(2):
            with pytest.raises(LedgerUnavailable):
                await wait(one, during=lambda: clock.go_on(0.1))

    run(request)


def test_an_answer_that_comes_too_late_is_not_waited_for() -> None:
    async def request() -> None:
        one, answer = Patience(0.1), asyncio.get_running_loop().create_future()
        with pytest.raises(LedgerUnavailable):
            await one.answer_of(answer)
        assert answer.done(), "whoever writes it sees that its caller has left"
        with pytest.raises(LedgerUnavailable):
            await one.answer_of(asyncio.get_running_loop().create_future())
        at_once = asyncio.get_running_loop().create_future()
        at_once.set_result("in time")
        assert await Patience().answer_of(at_once) == "in time"

    run(request)


def test_time_beside_the_waits_does_not_count(clock: Clock) -> None:
    async def request() -> None:
        one = Patience(60)
        await wait(one, 0)
        clock.now += 61
        await wait(one, 0.01)

    run(request)


def test_each_request_has_its_own_time_and_a_stream_one_for_each_look() -> None:
    async def request() -> Patience:
        begin_request()
        assert patience() is patience()
        return patience()

    async def stream() -> None:
        begin_request()
        go_on_for_long()
        assert patience() is not patience()

    async def both() -> None:
        first, second = await asyncio.gather(asyncio.create_task(request()), asyncio.create_task(request()))
        assert first is not second
        await stream()

    run(both)


def test_an_error_of_the_call_is_no_lack_of_time() -> None:
    async def request() -> None:
        with pytest.raises(ZeroDivisionError):
            async with Patience().wait():
                raise ZeroDivisionError

    run(request)


def test_while_a_place_is_free_nobody_waits() -> None:
    clock = Clock()
    pace = Pace(2, clock)
    with pace.turn():
        clock.now += 60
        assert pace.seconds_to_turn(0) == 0


def test_the_wait_is_reckoned_from_how_long_calls_take() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    for _ in range(200):
        with pace.turn():
            clock.now += 0.25
    with pace.turn():
        assert pace.seconds_to_turn(9) == pytest.approx(2.5, rel=0.01)
        pace.admit(9)
        with pytest.raises(Overloaded) as refused:
            pace.admit(27)
        assert refused.value.retry_after_seconds == pytest.approx(7, rel=0.01)


def test_where_nothing_moves_any_more_the_next_one_is_refused() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    with pace.turn():
        pace.admit(0)
        clock.now += MAX_TURN_SECONDS + 1
        with pytest.raises(Overloaded):
            pace.admit(0)
        clock.now += 3600
        with pytest.raises(Overloaded) as refused:
            pace.admit(0)
        assert refused.value.retry_after_seconds == 30, "nobody is sent away for an hour"
    pace.admit(0)


def test_a_call_that_fails_gives_its_place_back() -> None:
    pace = Pace(1, Clock())
    with pytest.raises(ZeroDivisionError), pace.turn():
        raise ZeroDivisionError
    assert pace.seconds_to_turn(0) == 0
