"""The rate limit: a token bucket per key, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

_MAX_BUCKETS = 10_000


class RateLimit:
    """`per_second` requests per second and key, with bursts of one second's worth; 0: no limit."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._buckets: dict[UUID, tuple[float, float]] = {}

    def take(self, key: UUID) -> float:
        """0 where the request may pass, else the seconds until one may."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        tokens, at = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.clear()
        if tokens < 1.0:
            self._buckets[key] = (tokens, now)
            return (1.0 - tokens) / self._rate
        self._buckets[key] = (tokens - 1.0, now)
        return 0.0
