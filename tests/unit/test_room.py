"""Room for bodies: bounded as a whole and for each caller, first come first served."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from taskyard.domain.errors import Overloaded
from taskyard_api.heavy import HeavyWork
from taskyard_api.room import Place, Room

ONE, OTHER = UUID(int=1), UUID(int=2)


def run(scenario: Callable[[Room], Awaitable[None]], *, patience_seconds: float = 10, max_waiting: int = 64) -> None:
    async def main() -> None:
        await scenario(Room(100, patience_seconds=patience_seconds, max_waiting=max_waiting))

    asyncio.run(main())


def test_a_caller_has_half_at_most_and_others_find_room_beside_it() -> None:
    async def scenario(room: Room) -> None:
        first = await room.take(ONE, 30)
        waiting = asyncio.create_task(room.take(ONE, 30))
        await asyncio.sleep(0)
        assert not waiting.done()
        await room.take(OTHER, 50)
        first.leave()
        assert (await waiting).size == 30

    run(scenario)


def test_a_single_place_may_be_larger_than_half_and_is_never_larger_than_the_room() -> None:
    async def scenario(room: Room) -> None:
        (await room.take(ONE, 80)).leave()
        place = await room.take(ONE, 1_000)
        assert place.size == 100
        place.leave()
        await room.take(OTHER, 100)

    run(scenario)


def test_small_places_do_not_pass_a_large_one_that_waits_for_its_turn() -> None:
    async def scenario(room: Room) -> None:
        first = await room.take(ONE, 50)
        large = asyncio.create_task(room.take(OTHER, 80))
        await asyncio.sleep(0)
        small = asyncio.create_task(room.take(UUID(int=3), 10))
        await asyncio.sleep(0)
        assert not small.done()
        first.leave()
        await asyncio.gather(large, small)

    run(scenario)


def test_who_waits_too_long_or_behind_too_many_is_refused_and_holds_nothing() -> None:
    async def scenario(room: Room) -> None:
        place = await room.take(ONE, 100)
        with pytest.raises(Overloaded):
            await room.take(OTHER, 10)
        place.leave()
        (await room.take(OTHER, 100)).leave()

    run(scenario, patience_seconds=0.01)

    async def crowded(room: Room) -> None:
        place = await room.take(ONE, 100)
        mine = [asyncio.create_task(room.take(ONE, 1)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await room.take(ONE, 1)
        other = asyncio.create_task(room.take(OTHER, 1))
        await asyncio.sleep(0)
        assert not other.done(), "another caller may still wait"
        place.leave()
        await asyncio.gather(*mine, other)

    run(crowded, max_waiting=4)


def test_a_caller_that_gives_up_lets_the_next_one_in() -> None:
    async def scenario(room: Room) -> None:
        await room.take(ONE, 50)
        large = asyncio.create_task(room.take(OTHER, 80))
        await asyncio.sleep(0)
        small = asyncio.create_task(room.take(UUID(int=3), 10))
        await asyncio.sleep(0)
        large.cancel()
        assert (await small).size == 10
        with pytest.raises(asyncio.CancelledError):
            await large

    run(scenario)


def test_one_that_is_let_in_while_it_gives_up_leaves_again() -> None:
    async def scenario(room: Room) -> None:
        first = await room.take(ONE, 100)
        waiting: asyncio.Task[Place] = asyncio.create_task(room.take(OTHER, 100))
        await asyncio.sleep(0)
        first.leave()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await room.take(ONE, 100)

    run(scenario)


def test_heavy_work_of_one_caller_leaves_a_thread_to_others() -> None:
    async def main() -> None:
        heavy, order = HeavyWork(threads=2), list[str]()
        loop, began, gate = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def blocked() -> None:
            order.append("began")
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)

        mine = [asyncio.create_task(heavy.run(ONE, blocked)) for _ in range(5)]
        await began.wait()
        assert await heavy.run(OTHER, lambda: 7) == 7
        assert order == ["began"], "the caller's other pieces wait for their turn"
        gate.set()
        await asyncio.gather(*mine)
        heavy.close()

    asyncio.run(main())
