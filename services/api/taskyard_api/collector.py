"""The collector: requests that arrive together are committed together, and a bad one does not fail the others.

A unit is one caller's request (one task or a batch of them); it is never split over transactions. While no flush is
under way, a unit is written at once, together with those of the same turn of the event loop; where flights had more
units lately, the next waits for as many, for 2 ms at most: most of a transaction's cost is its own, not its units'.
While one is under way, the next gathers until it lands, or for 10 ms: then a second flight takes off. So an idle
service answers without delay, a busy one commits more units per transaction, and a flush that hangs does not hold up
the others.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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
MAX_BATCH = 512
MAX_FLIGHTS = 2
# Longer than a flush usually takes: the second flight is for when the first one hangs (docs/decisions/0009).
GATHER_SECONDS = 0.010
# How long the callers that were just answered have to come again.
REJOIN_SECONDS = 0.002
# What has to wait of the usual number: the few that are late fly next, and are no reason to wait.
_MOST = 0.9
# How fast the usual number of units falls where fewer come: a fifth with each flight.
_FALL = 0.8
# How long the same units are tried again before their callers get a 503.
PATIENCE_SECONDS = 3.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.5

U = TypeVar("U")
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)


class Answered(Protocol[A_contra]):
    """Who gets an answer: a future, or what costs less than one."""

    def done(self) -> bool: ...
    def set_result(self, answer: A_contra, /) -> None: ...
    def set_exception(self, error: Exception, /) -> None: ...


@dataclass(slots=True)
class _Waiting(Generic[U, A]):
    unit: U
    weight: int
    answer: Answered[A]


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
        self._usual = 1.0  # units in a flight, lately
        self._flights = 0
        self._landed = asyncio.Event()
        self._planned: asyncio.Handle | None = None
        self._is_due = False  # planned for this turn of the event loop
        self._closed = False
        self._pace = Pace(MAX_FLIGHTS)

    async def submit(self, unit: U, weight: int = 1) -> A:
        """Returns when the unit is committed.

        Raises Overloaded, LedgerUnavailable, after which it may be committed all the same, and the exception that
        `write` returned for this unit.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self.put(unit, answer, weight)
        request = patience()
        request.admit()
        return await request.answer_of(answer)

    def put(self, unit: U, answer: Answered[A], weight: int = 1) -> None:
        """Has the unit committed, and gives the answer or the error on the event loop, unless it is `done` by then.
        Raises Overloaded."""
        if self._closed or (self._weight and self._weight + weight > self._max_waiting):
            raise Overloaded(message("Too much waits to be written."))
        self._pace.admit(self._weight / MAX_BATCH)
        loop = asyncio.get_running_loop()
        self._waiting.append(_Waiting(unit, weight, answer))
        self._weight += weight
        if not self._flights:
            self._plan(loop)
        elif self._flights < MAX_FLIGHTS:
            if self._weight >= MAX_BATCH:
                self._take_off()
            elif self._planned is None:
                self._planned = loop.call_later(self._gather_seconds, self._take_off)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Plans a flight while none is under way."""
        if len(self._waiting) < _MOST * self._usual and self._weight < MAX_BATCH:
            if self._planned is None:
                self._planned = loop.call_later(REJOIN_SECONDS, self._take_off)
        elif not self._is_due:
            if self._planned is not None:
                self._planned.cancel()
            self._planned, self._is_due = loop.call_soon(self._take_off), True

    async def close(self) -> None:
        """Refuses new units and writes those that wait."""
        self._closed = True
        while self._waiting or self._flights:
            self._take_off()
            if self._flights:
                self._landed.clear()
                await self._landed.wait()

    def _take_off(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned, self._is_due = None, False
        if not self._waiting or self._flights >= MAX_FLIGHTS:
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
            self._usual = max(len(batch), self._usual * _FALL)
            self._flights += 1
            try:
                self._threads.submit(self._fly, asyncio.get_running_loop(), batch)
            except RuntimeError as e:  # the threads were ended
                self._land(batch, [e] * len(batch))

    def _land(self, batch: Sequence[_Waiting[U, A]], answers: Sequence[A | Exception]) -> None:
        self._flights -= 1
        self._landed.set()
        for item, answer in zip(batch, answers, strict=True):
            if item.answer.done():
                continue  # its caller has left meanwhile
            if isinstance(answer, Exception):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)
        if self._waiting and not self._flights:
            if self._planned is not None:  # for the second flight
                self._planned.cancel()
                self._planned = None
            self._plan(asyncio.get_running_loop())
        elif self._waiting:
            self._take_off()

    # From here on in a thread of `threads`.

    def _fly(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Waiting[U, A]]) -> None:
        answers: Sequence[A | Exception]
        try:
            answers = self._isolate([item.unit for item in batch])
        except Exception as e:  # noqa: BLE001 - every error is passed to the callers
            answers = [e] * len(batch)
        loop.call_soon_threadsafe(self._land, batch, answers)

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
