"""The event loop of a child: its thread, and those for what blocks."""

from __future__ import annotations

import asyncio
import sys
import threading

from taskyard_worker.child.event_loop import EventLoop


async def nothing() -> None:
    """A first task."""


def test_a_loop_that_is_being_started_never_looks_like_one_whose_thread_has_ended() -> None:
    seen: list[bool] = []
    watched, done = [EventLoop()], threading.Event()

    def watch() -> None:
        while not done.is_set():
            if (thread := watched[-1].thread) is not None:
                seen.append(thread.is_alive())

    watcher = threading.Thread(target=watch)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        watcher.start()
        while len(watched) <= 20 or (not seen and len(watched) <= 5_000):
            watched[-1].finish(nothing(), seconds=10.0)
            watched.append(EventLoop())
    finally:
        sys.setswitchinterval(before)
        done.set()
        watcher.join()
    assert seen
    assert all(seen)


def test_coroutines_with_slow_blocking_calls_keep_no_other_waiting() -> None:
    together = threading.Barrier(64)  # more than asyncio's own executor has anywhere

    async def blocking() -> None:
        await asyncio.to_thread(together.wait, 10)

    async def all_of_them() -> None:
        await asyncio.gather(*(blocking() for _ in range(together.parties)))

    EventLoop().finish(all_of_them(), seconds=20)
