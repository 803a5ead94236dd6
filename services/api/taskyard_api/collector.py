"""The collector: requests that arrive together are committed together, and a bad one does not fail the others.

A unit is one caller's request (one task or a batch of them); it is never split over transactions. While no flush is
under way, a unit is written at once, together with those of the same turn of the event loop. While one is, the next
gathers until it lands, or for 10 ms: then a second flight takes off. So an idle service answers without delay, a busy
one commits more units per transaction, and a flush that hangs does not hold up the others.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from taskyard.backoff import Backoff
from taskyard.bisection import bisect
from taskyard.domain.errors import LedgerUnavailable, Overloaded, TaskyardError
from taskyard.domain.messages import message
from taskyard.store.sqlstates import Meaning, meaning, sqlstate

from .patience import Pace, patience
from .refusals import Fault, Invalid

log = structlog.get_logger(__name__)

MAX_WAITING = 4096
MAX_BATCH = 256
MAX_FLIGHTS = 2
# Longer than a flush usually takes: the second flight is for when the first one hangs (docs/decisions/0009).
GATHER_SECONDS = 0.010
# How long the same units are tried again before their callers get a 503.
PATIENCE_SECONDS = 3.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.5

U = TypeVar("U")
A = TypeVar("A")


@dataclass(slots=True)
class _Waiting(Generic[U, A]):
    unit: U
    weight: int
    answer: asyncio.Future[A]


class Collector(Generic[U, A]):
    """`write` commits units in one transaction and returns an answer, or an exception, for each. It runs on `threads`
    and must be idempotent."""

    def __init__(
        self,
        write: Callable[[Sequence[U]], Sequence[A | Exception]],
        threads: Executor,
        *,
        name: str,
        gather_seconds: float = GATHER_SECONDS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._write = write
        self._threads = threads
        self._name = name
        self._gather_seconds = gather_seconds
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting[U, A]] = deque()
        self._weight = 0  # of the waiting units
        self._flights: set[asyncio.Task[None]] = set()
        self._planned: asyncio.Handle | None = None
        self._closed = False
        self._pace = Pace(MAX_FLIGHTS)

    async def submit(self, unit: U, weight: int = 1) -> A:
        """Returns when the unit is committed.

        Raises Overloaded, LedgerUnavailable, after which it may be committed all the same, and the exception that
        `write` returned for this unit.
        """
        if self._closed or (self._weight and self._weight + weight > self._max_waiting):
            raise Overloaded(message("Too much waits to be written."))
        self._pace.admit(self._weight / MAX_BATCH)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append(_Waiting(unit, weight, answer))
        self._weight += weight
        if not self._flights:
            if self._planned is None:
                self._planned = loop.call_soon(self._take_off)
        elif len(self._flights) < MAX_FLIGHTS:
            if self._weight >= MAX_BATCH:
                self._take_off()
            elif self._planned is None:
                self._planned = loop.call_later(self._gather_seconds, self._take_off)
        request = patience()
        request.admit()
        return await request.answer_of(answer)

    async def close(self) -> None:
        """Refuses new units and writes those that wait."""
        self._closed = True
        while self._waiting or self._flights:
            self._take_off()
            if self._flights:
                await asyncio.wait(self._flights)

    def _take_off(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        if not self._waiting or len(self._flights) >= MAX_FLIGHTS:
            return
        batch: list[_Waiting[U, A]] = []
        load = 0
        while self._waiting and (not batch or load + self._waiting[0].weight <= MAX_BATCH):
            item = self._waiting.popleft()
            self._weight -= item.weight
            if not item.answer.done():  # else its caller has left
                batch.append(item)
                load += item.weight
        if batch:
            flight = asyncio.get_running_loop().create_task(self._fly(batch))
            self._flights.add(flight)
            flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if self._waiting:
            self._take_off()

    async def _fly(self, batch: list[_Waiting[U, A]]) -> None:
        loop = asyncio.get_running_loop()
        units = [item.unit for item in batch]
        try:
            answers = await loop.run_in_executor(self._threads, self._isolate, units)
        except Exception as e:  # noqa: BLE001 - every error is passed to the callers
            answers = [e] * len(batch)
        for item, answer in zip(batch, answers, strict=True):
            if item.answer.done():
                continue  # its caller has left meanwhile
            if isinstance(answer, Exception):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)

    # From here on in a thread of `threads`.

    def _isolate(self, units: Sequence[U]) -> Sequence[A | Exception]:
        """Writes the units. One that makes the statement fail gets its error; the others are written."""
        with self._pace.turn():
            parts = bisect(units, self._patiently, is_to_blame=lambda _: True, alone=self._refuse)
        return [answer for part in parts for answer in part]

    def _refuse(self, unit: U, error: Exception) -> Sequence[A | Exception]:
        log.warning("unit_refused", collector=self._name, error=type(error).__name__, sqlstate=sqlstate(error))
        return [_refusal_of(error)]

    def _patiently(self, units: Sequence[U]) -> Sequence[A | Exception]:
        """Writes the same units again where PostgreSQL was away or undid them: the answer to a commit may have been
        lost, and `write` is idempotent. An error that no unit caused is the answer to all of them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            try:
                return self._write(units)
            except (DBAPIError, LedgerUnavailable) as e:
                if meaning(e) not in {Meaning.AWAY, Meaning.CONFLICT}:
                    raise
                pause = backoff.next()
                if time.monotonic() + pause > deadline:
                    return [_unavailable(e)] * len(units)
                log.info("flush_repeated", collector=self._name, sqlstate=sqlstate(e))
                time.sleep(pause)
            except TaskyardError as e:
                return [e] * len(units)


def _unavailable(error: Exception) -> Exception:
    if isinstance(error, LedgerUnavailable):
        return error
    unavailable = LedgerUnavailable(str(error).splitlines()[0])
    unavailable.__cause__ = error
    return unavailable


def _refusal_of(error: Exception) -> Exception:
    """A value that PostgreSQL cannot store is the caller's error: a 422, not a 500."""
    if meaning(error) is not Meaning.BAD_DATA:
        return error
    return Invalid([Fault("", message("The database cannot hold this."), "not_storable")])
