"""The queues that exist: those of the settings and of the task types, and those in the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from taskyard.backoff import spread
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.workers import ensure_queues
from taskyard.store.fleet import queue_names

from .ledger_pool import LedgerPool

_FRESH_SECONDS = 1.0
_ENSURE_AGAIN_SECONDS = 2.0


class KnownQueues:
    """Names that tasks may be submitted to. An unknown name is looked up in the table, at most once a second."""

    def __init__(
        self, ledger: LedgerPool, configured: Iterable[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.configured = frozenset(configured)
        self._ledger = ledger
        self._clock = clock
        self._names: frozenset[str] = self.configured
        self._asked_at = float("-inf")
        self._unmade = asyncio.Event()

    async def has(self, name: str) -> bool:
        """Raises LedgerUnavailable where a look-up is due and PostgreSQL is away."""
        if name in self._names:
            return True
        if self._clock() - self._asked_at >= _FRESH_SECONDS:
            self._names = self.configured | await self._ledger.run(queue_names)
            self._asked_at = self._clock()
        return name in self._names

    def knows(self, name: str) -> bool:
        """Whether the queue exists for certain, without a look at the table."""
        return name in self._names

    def learn(self, names: Iterable[str]) -> None:
        """Queues of registered task types, which may have no row in the table yet."""
        if not self.configured.issuperset(names):
            self.configured = self.configured.union(names)
            self._names |= self.configured
            self._unmade.set()

    async def ensure(self) -> None:
        """Makes the rows of the configured queues and of those that are learnt, through which lists find live tasks;
        keeps trying while PostgreSQL is away."""
        while True:
            self._unmade.clear()
            try:
                await self._ledger.run(lambda conn: ensure_queues(conn, sorted(self.configured)))
            except LedgerUnavailable:
                await asyncio.sleep(spread(_ENSURE_AGAIN_SECONDS))
            else:
                await self._unmade.wait()
