"""How long a request waits for PostgreSQL, and when it does not begin to wait (docs/decisions/0042)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.domain.messages import message
from taskyard.store.ledger import SERVER_IS_LATE

T = TypeVar("T")

# A statement of the API ends after so long, or after what the settings say where that is less.
LONGEST_STATEMENT = timedelta(seconds=10)
# What all waits of a request for PostgreSQL may take together; then it is 503.
REQUEST_SECONDS = (LONGEST_STATEMENT + SERVER_IS_LATE).total_seconds()
# A request that would have to wait longer for its turn is refused at once.
MAX_TURN_SECONDS = 5.0
_MAX_RETRY_AFTER_SECONDS = 30.0
# The mean is of the last twenty calls or so.
_WEIGHT = 0.05


class Patience:
    """The seconds that are left to one request, and whether it is admitted: it is refused at its first step, before it
    has done anything, or not at all."""

    def __init__(self, seconds: float = REQUEST_SECONDS, *, is_admitted: bool = False) -> None:
        self._left = seconds
        self.is_admitted = is_admitted

    def admit(self) -> None:
        """From here on the request is not refused because others wait."""
        self.is_admitted = True

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """Raises LedgerUnavailable where they are used up."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._left)):
                yield
        except TimeoutError:
            raise too_late() from None
        finally:
            self._left -= time.monotonic() - began

    async def answer_of(self, future: asyncio.Future[T]) -> T:
        """The same for a future that nothing else cancels, at a quarter of the cost: every submit passes here."""
        began = time.monotonic()
        timer = asyncio.get_running_loop().call_later(max(0.0, self._left), _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()
            self._left -= time.monotonic() - began


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(too_late())


def too_late() -> LedgerUnavailable:
    return LedgerUnavailable("PostgreSQL did not answer in the time that a request has")


_of_request: ContextVar[Patience | None] = ContextVar("patience", default=None)


def begin_request() -> None:
    """From here on all waits of this request share its time."""
    _of_request.set(Patience())


def go_on_for_long() -> None:
    """From here on each wait of this request has its own time: it follows events for hours."""
    _of_request.set(None)


def patience() -> Patience:
    """That of the request; outside of requests, one for each wait."""
    return _of_request.get() or Patience()


class Pace:
    """How long what comes now would wait for one of `places`: by the mean time of the calls that ended lately, and by
    how long none has begun. Entered in the threads that run the calls, asked on the event loop."""

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.places = places
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._mean = 0.0
        self._last_begun = clock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around a call."""
        began = self._clock()
        with self._lock:
            self._running += 1
            self._last_begun = began
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._mean += _WEIGHT * (self._clock() - began - self._mean)

    def seconds_to_turn(self, ahead: float) -> float:
        """For a call with `ahead` others before it that have no place yet."""
        if self._running < self.places:
            return 0.0
        return max(self._mean * (ahead + 1) / self.places, self._clock() - self._last_begun)

    def admit(self, ahead: float) -> None:
        """Raises Overloaded where the wait would be too long."""
        seconds = self.seconds_to_turn(ahead)
        if seconds > MAX_TURN_SECONDS:
            raise Overloaded(
                message("Too many requests wait for the database."),
                retry_after_seconds=min(seconds, _MAX_RETRY_AFTER_SECONDS),
            )
