"""How many reports a process may make in a minute. It is asked before a report is made: what exceeds it costs a look
into a dictionary."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from .reports import MOST_A_MINUTE, MOST_A_MINUTE_ALIKE

_SECONDS = 60.0


class Budget:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._since = float("-inf")

    def take(self, fingerprint: tuple[str, ...]) -> bool:
        """Whether one more may be made, which then counts."""
        with self._lock:
            now = self._clock()
            if now - self._since >= _SECONDS:
                self._taken.clear()
                self._since = now
            if self._taken[fingerprint] >= MOST_A_MINUTE_ALIKE or self._taken.total() >= MOST_A_MINUTE:
                return False
            self._taken[fingerprint] += 1
            return True
