"""The event loop for `async def` tasks: one a child, in a thread of its own, started with the first task."""

from __future__ import annotations

import asyncio
import threading
import time
import types
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from taskyard.domain.errors import Interrupt, SoftTimeLimitExceeded, TaskCancelled

from .copies import leave_copy

log = structlog.stdlib.get_logger(__name__)

# Between two interrupts: the first one may have been swallowed by what the coroutine awaited.
_APART_SECONDS = 1.0
# For `asyncio.to_thread`: one for each task that a child can run. asyncio's own number goes by the processors, six on
# two of them, and coroutines whose blocking calls are slow would keep all others waiting.
_THREADS = 256


# Both asyncio's exception and ours: a TaskGroup or `wait_for` cancels its own coroutines for asyncio's only.


class CancelledOnLoop(TaskCancelled, asyncio.CancelledError):
    """Raised in a cancelled coroutine."""


class SoftLimitOnLoop(SoftTimeLimitExceeded, asyncio.CancelledError):
    """Raised in a coroutine at its soft limit."""


class EventLoop:
    """Runs coroutines; `start` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._running().call_soon_threadsafe(self._spawn, coroutine)

    def interrupts(self) -> LoopInterrupts:
        return LoopInterrupts(self._running())

    @property
    def thread(self) -> threading.Thread | None:
        """None before the first task."""
        return self._thread

    def is_here(self) -> bool:
        """Whether this code runs on it."""
        return self._loop is not None and self._loop is asyncio.get_running_loop()

    def finish(self, coroutine: Coroutine[Any, Any, None], *, seconds: float) -> None:
        """Runs the coroutine from another thread. Raises TimeoutError after `seconds`."""
        asyncio.run_coroutine_threadsafe(coroutine, self._running()).result(seconds)

    def detach(self) -> None:
        """In a copy of the child that a coroutine has made: the others belong to the process that was copied. The loop
        takes no further step here, and waits for nothing: what it would change in the selector is shared."""
        if self._loop is not None and self._thread is threading.current_thread():
            self._loop._ready.clear()  # type: ignore[attr-defined]
            self._loop.stop()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="asyncio"))
                thread = threading.Thread(target=_turn, args=[loop], name="async-tasks", daemon=True)
                thread.start()
                # Once it runs: one that has not begun looks like one that a task has ended.
                self._thread = thread
                self._loop = loop
            return self._loop

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    """Runs for ever. A task may stop the loop, and asyncio lets SystemExit and KeyboardInterrupt of a coroutine that a
    task started out of it: all other tasks would stand still until their limits."""
    while True:
        try:
            loop.run_forever()
        except BaseException as e:  # noqa: BLE001 - see above
            leave_copy()
            log.warning("event_loop_left", error=type(e).__name__)
        leave_copy()


class LoopInterrupts:
    """The interrupts of one run of a coroutine function. It is interrupted where it waits, and never by an exception in
    the thread of the loop, which other tasks share."""

    interrupted_thread = False  # only the coroutine is interrupted; the process is as good as before

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._asked: type[Interrupt] | None = None
        self._asked_at = 0.0
        self._cancels = 0  # asyncio counts them, and so do we
        self.met_soft_limit = False

    async def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The coroutine's result; interrupts come out of it as if it had raised them."""
        self._task = asyncio.current_task()
        try:
            return await self._drive(coroutine)
        finally:
            self._task = None

    def interrupt(self, kind: type[Interrupt]) -> bool:
        """Raises it where the coroutine waits."""
        now = time.monotonic()
        if self._task is None or (self._asked is not None and now - self._asked_at < _APART_SECONDS):
            return False
        self._asked, self._asked_at = kind, now
        self._loop.call_soon_threadsafe(self._cancel)
        return True

    def check(self) -> None:
        """Raises the interrupt that was asked for: for coroutines that seldom wait."""
        if self._asked is not None:
            raise self._take()

    def _cancel(self) -> None:
        if self._task is not None and self._asked is not None:
            self._cancels += 1
            self._task.cancel()

    def _take(self) -> Interrupt:
        kind, self._asked = self._asked, None
        if kind is SoftTimeLimitExceeded:
            self.met_soft_limit = True
            return SoftLimitOnLoop()
        return CancelledOnLoop()

    @types.coroutine
    def _drive(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Passes everything on between the loop and the coroutine; the CancelledError of an interrupt becomes the
        exception that it stands for."""
        error: BaseException | None = None
        while True:
            try:
                waits_for = coroutine.throw(error) if error is not None else coroutine.send(None)
            except StopIteration as e:
                return e.value
            finally:
                leave_copy()
            error = None
            try:
                yield waits_for
            except asyncio.CancelledError as e:
                error = e
                if self._asked is not None and self._task is not None:
                    for _ in range(self._cancels):
                        self._task.uncancel()  # so that the coroutine may wait again
                    self._cancels = 0
                    error = self._take()
            except BaseException as e:  # noqa: BLE001 - it belongs to the coroutine
                error = e
