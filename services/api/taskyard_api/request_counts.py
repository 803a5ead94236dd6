"""How many requests there were, counted in memory and written a few times a minute: never a row a request.

Labels are those of the metrics: methods and route templates that the application has, and statuses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog

from taskyard.backoff import spread
from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.domain.ids import new_id
from taskyard.store.analytics import OTHER, RequestCount, write_counts

from .ledger_pool import LedgerPool
from .meters import METHODS

log = structlog.get_logger(__name__)

_WRITE_SECONDS = 60.0
# While PostgreSQL is away: an hour. Its labels take a megabyte or so.
_MINUTES_HELD = 60
_METHODS = frozenset(METHODS)

_Label = tuple[str, str, int]


class RequestCounts:
    """Counts by the minute. What was written stays here until its minute is over, as rows hold the totals of this
    process: to write them once more changes nothing, also where the answer to the first time got lost."""

    def __init__(self, ledger: LedgerPool, *, now: Callable[[], float] = time.time, source: UUID | None = None) -> None:
        self._ledger = ledger
        self._now = now
        self._source = source or new_id()
        self._minutes: dict[int, dict[_Label, list[float]]] = {}
        self._dropped = 0

    def count(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """One request that was answered; `route` None where no route has the path."""
        minute = int(self._now() // 60)
        counts = self._minutes.get(minute)
        if counts is None:
            counts = self._begin(minute)
        label = (method if method in _METHODS else OTHER, route or OTHER, status)
        found = counts.get(label)
        if found is None:
            counts[label] = [1, seconds]
        else:
            found[0] += 1
            found[1] += seconds

    def _begin(self, minute: int) -> dict[_Label, list[float]]:
        while len(self._minutes) >= _MINUTES_HELD:
            self._dropped += sum(int(n) for n, _ in self._minutes.pop(min(self._minutes)).values())
        return self._minutes.setdefault(minute, {})

    async def write_on(self) -> None:
        """Writes once a minute, until it is cancelled. Processes that started together spread out."""
        while True:
            await asyncio.sleep(spread(_WRITE_SECONDS))
            await self.write()

    async def write(self) -> None:
        """Writes what there is, and forgets the minutes that are over; keeps them where PostgreSQL is away."""
        if self._dropped:
            log.warning("request_counts_dropped", requests=self._dropped)
            self._dropped = 0
        minutes = [*self._minutes]
        rows = [
            RequestCount(minute, *label, requests=int(n), seconds=seconds)
            for minute in minutes
            for label, (n, seconds) in self._minutes[minute].items()
        ]
        if not rows:
            return
        over = int(self._now() // 60)
        try:
            await self._ledger.run(partial(write_counts, source=self._source, counts=rows))
        except (LedgerUnavailable, Overloaded) as e:
            log.warning("request_counts_unwritten", minutes=len(minutes), error=str(e))
            return
        except Exception:
            log.exception("request_counts_unwritten", minutes=len(minutes))
            return
        for minute in minutes:
            if minute < over:
                self._minutes.pop(minute, None)
