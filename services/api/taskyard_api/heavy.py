"""Heavy work: what takes longer than the event loop can spare, on threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

T = TypeVar("T")


class HeavyWork:
    """One piece of each caller at a time, so that no caller takes all threads.

    Threads share the interpreter with the event loop, which gets it back after a millisecond (`sys.setswitchinterval`);
    a call of C code keeps it until it returns.
    """

    def __init__(self, threads: int = 2) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="heavy")
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def run(self, caller: UUID, work: Callable[[], T]) -> T:
        turn = self._turns.setdefault(caller, asyncio.Lock())
        async with turn:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
