"""How often one may try to sign in."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# A person mistypes a few times; a guesser of passwords gets nowhere at twelve a minute.
BURST = 10
PER_SECOND = 0.2
_MOST = 10_000


class Tries:
    """Counts for each address, in this process: a token bucket each, the longest unused is forgotten first."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> float:
        """0 where it may try, else the seconds until it may."""
        now = self._clock()
        tokens, since = self._buckets.pop(address, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since) * PER_SECOND)
        may = tokens >= 1
        self._buckets[address] = (tokens - 1 if may else tokens, now)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return 0.0 if may else (1 - tokens) / PER_SECOND

    def give_back(self, address: str) -> None:
        """It was no guess: many readers may share the address of a proxy."""
        if address in self._buckets:
            tokens, since = self._buckets[address]
            self._buckets[address] = (min(float(BURST), tokens + 1), since)
