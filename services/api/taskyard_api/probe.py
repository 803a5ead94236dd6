"""A probe that all who ask share: however many they are, one is under way at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from .patience import Patience

# Who asks later waits for the next one: what was asked long before says less of now.
SHARED_FOR_SECONDS = 1.0


class Probe:
    """`ask` is run in a task of its own, which is no part of any request."""

    def __init__(
        self, ask: Callable[[], Coroutine[Any, Any, None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._under_way: asyncio.Task[None] | None = None
        self._began = 0.0

    async def answer(self) -> None:
        """That of a probe that began after this call, or one second before it at most. Raises what `ask` raises, and
        LedgerUnavailable where a request's time is over."""
        called = self._clock()
        async with Patience().wait():
            while self._under_way is not None and self._began < called - SHARED_FOR_SECONDS:
                await asyncio.wait([self._under_way])
            await asyncio.shield(self._under_way or self._begin())

    def _begin(self) -> asyncio.Task[None]:
        self._began = self._clock()
        self._under_way = asyncio.create_task(self._ask(), context=Context())
        self._under_way.add_done_callback(self._ended)
        return self._under_way

    def _ended(self, probe: asyncio.Task[None]) -> None:
        self._under_way = None
        if not probe.cancelled():
            probe.exception()  # all who asked may have gone
