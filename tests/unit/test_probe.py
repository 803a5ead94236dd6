"""Probes are shared by all who ask."""

from __future__ import annotations

import asyncio

import pytest

from taskyard.domain.errors import LedgerUnavailable
from taskyard_api import patience
from taskyard_api.probe import Probe


class Database:
    """Answers when it is told to; `time` stands still."""

    def __init__(self) -> None:
        self.time = 0.0
        self.asked: list[asyncio.Future[None]] = []
        self.probe = Probe(self._ask, lambda: self.time)

    async def _ask(self) -> None:
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]

    async def call(self, callers: int = 1) -> list[asyncio.Task[None]]:
        calls = [asyncio.create_task(self.probe.answer()) for _ in range(callers)]
        await asyncio.sleep(0.01)
        return calls

    async def answer(self) -> None:
        self.asked[-1].set_result(None)
        await asyncio.sleep(0.01)


def test_a_hundred_callers_ask_once() -> None:
    async def ask() -> None:
        database = Database()
        calls = await database.call(100)
        await database.answer()
        await asyncio.gather(*calls)
        assert len(database.asked) == 1
        (call,) = await database.call()
        assert not call.done(), "what was answered is not told again"
        assert len(database.asked) == 2
        await database.answer()
        await call

    asyncio.run(ask())


def test_who_asks_a_second_later_waits_for_the_next_probe() -> None:
    async def ask() -> None:
        database = Database()
        first = await database.call(2)
        database.time = 1.0
        soon = await database.call()
        database.time = 1.1
        late = await database.call(50)
        await database.answer()
        assert all(call.done() for call in (*first, *soon))
        assert not any(call.done() for call in late)
        assert len(database.asked) == 2
        await database.answer()
        await asyncio.gather(*late)
        assert len(database.asked) == 2

    asyncio.run(ask())


def test_an_error_is_told_to_all_and_the_next_asks_anew() -> None:
    async def ask() -> None:
        database = Database()
        calls = await database.call(3)
        database.asked[-1].set_exception(LedgerUnavailable("away"))
        for told in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(told, LedgerUnavailable)
        (call,) = await database.call()
        await database.answer()
        await call

    asyncio.run(ask())


def test_who_asks_has_an_answer_in_the_time_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.Patience.__init__, "__defaults__", (0.05,))

    async def ask() -> None:
        database = Database()
        first = await database.call()
        database.time = 2.0
        late = await database.call()
        for told in await asyncio.gather(*first, *late, return_exceptions=True):
            assert isinstance(told, LedgerUnavailable)
        assert len(database.asked) == 1

    asyncio.run(ask())
