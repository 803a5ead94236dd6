"""Which queues there are: those of the settings and the catalogue, and those in the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.workers import ensure_queues
from taskyard.store.fleet import queue_names

from .ledger_pool import LedgerPool

_FRESH_SECONDS = 1.0


class KnownQueues:
    """Names that may be submitted to. A name that isn't known is looked for in the table, at most once a second."""

    def __init__(
        self, ledger: LedgerPool, configured: Iterable[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.configured = frozenset(configured)
        self._ledger = ledger
        self._clock = clock
        self._names: frozenset[str] = self.configured
        self._asked_at = float("-inf")

    async def has(self, name: str) -> bool:
        """Raises LedgerUnavailable where it would have to look and cannot."""
        if name in self._names:
            return True
        if self._clock() - self._asked_at >= _FRESH_SECONDS:
            self._names = self.configured | await self._ledger.run(queue_names)
            self._asked_at = self._clock()
        return name in self._names

    async def ensure(self) -> bool:
        """Makes the rows of the configured queues, through which lists find live tasks; False where PostgreSQL is
        away."""
        try:
            await self._ledger.run(lambda conn: ensure_queues(conn, sorted(self.configured)))
        except LedgerUnavailable:
            return False
        return True
