"""The collector: what arrives together is committed together, and one bad request spoils nobody else's.

A unit is one caller's request (one task or a batch of them); it is never split over transactions. While nothing is
under way a unit is written at once, with what else arrived in the same turn of the loop; while a flush is under way
the next one gathers until that lands, or for 10 ms: then a second flight takes it. So an idle service answers without
delay, a busy one commits more per transaction the busier it is, and a flush that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from taskyard.domain.errors import LedgerUnavailable, Overloaded, TaskyardError
from taskyard.store.engine import is_away, raise_if_away, sqlstate

from .refusals import Fault, Invalid

log = structlog.get_logger(__name__)

MAX_WAITING = 4096
MAX_BATCH = 256
MAX_FLIGHTS = 2
# Longer than a flush usually takes, so that a second one is for when the first hangs (docs/decisions/0009).
GATHER_SECONDS = 0.010
# How long the same ids are tried again before the callers are told 503.
PATIENCE_SECONDS = 3.0

U = TypeVar("U")
A = TypeVar("A")


@dataclass(slots=True)
class _Waiting(Generic[U, A]):
    unit: U
    weight: int
    answer: asyncio.Future[A]


class Collector(Generic[U, A]):
    """`write` commits units in one transaction and gives an answer, or an exception, for each; it runs on `threads`
    and must be harmless when repeated with the same units."""

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
        self._weight = 0  # of what waits
        self._flights: set[asyncio.Task[None]] = set()
        self._planned: asyncio.Handle | None = None
        self._closed = False

    async def submit(self, unit: U, weight: int = 1) -> A:
        """Returns when the unit is committed.

        Raises Overloaded, LedgerUnavailable, and what `write` gave for this unit.
        """
        if self._closed or (self._weight and self._weight + weight > self._max_waiting):
            raise Overloaded("Too much waits to be written.")
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
        return await answer

    async def close(self) -> None:
        """Refuses what comes from now on and writes what waits."""
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
            if not item.answer.done():  # else its caller has gone
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
        except Exception as e:  # noqa: BLE001 - whatever it is, each caller is told
            answers = [e] * len(batch)
        for item, answer in zip(batch, answers, strict=True):
            if item.answer.done():
                continue  # cancelled meanwhile; the others are not disturbed
            if isinstance(answer, Exception):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)

    # From here on in a thread.

    def _isolate(self, units: Sequence[U]) -> Sequence[A | Exception]:
        """Writes the units; where one of them makes the statement fail, halves them until it stands alone."""
        try:
            return self._patiently(units)
        except TaskyardError as e:
            return [e] * len(units)
        except Exception as e:  # noqa: BLE001 - whatever one unit brings, the others are not to pay for it
            if len(units) == 1:
                log.warning("unit_refused", collector=self._name, error=type(e).__name__, sqlstate=sqlstate(e))
                return [_refusal_of(e)]
        half = len(units) // 2
        return [*self._isolate(units[:half]), *self._isolate(units[half:])]

    def _patiently(self, units: Sequence[U]) -> Sequence[A | Exception]:
        """Tries the same units again where PostgreSQL was away or gave up: the commit may have happened and its
        answer been lost, and repeating it is harmless."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = 0.02
        while True:
            try:
                return self._write(units)
            except (DBAPIError, LedgerUnavailable) as e:
                if not _may_pass(e):
                    raise
                if time.monotonic() + pause > deadline:
                    raise_if_away(e)
                    raise LedgerUnavailable(str(e).splitlines()[0]) from e
                log.info("flush_repeated", collector=self._name, sqlstate=sqlstate(e))
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 0.5)


def _refusal_of(error: Exception) -> Exception:
    """22 data, 23 constraint: PostgreSQL does not hold what this caller sent; it is no fault of ours to be a 500."""
    state = sqlstate(error)
    if state is None or not state.startswith(("22", "23")):
        return error
    return Invalid([Fault("", "The database cannot hold this.", "not_storable")])


def _may_pass(error: Exception) -> bool:
    """08 connection, 40 rolled back, 53 out of resources, 55P03 lock time-out, 57 an operator or a time-out."""
    state = sqlstate(error)
    return is_away(error) or (state is not None and state.startswith(("08", "40", "53", "55P03", "57")))
