"""When a process that has ended may be followed by another one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from taskyard.backoff import backoff_seconds

SHORT_LIFE_SECONDS = 10.0
_FORGIVEN_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0


class Restarts:
    """Of processes of one kind: one that dies young is followed after a pause, which doubles."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rand: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._rand = rand
        self._failures = 0
        self._failed_at = 0.0
        self._next_at = 0.0

    @property
    def pause(self) -> float:
        """Seconds until one may start; 0 or less: now."""
        return self._next_at - self._clock()

    def slow_down(self) -> None:
        """One has failed."""
        now = self._clock()
        self._failures = self._failures + 1 if now - self._failed_at < _FORGIVEN_SECONDS else 1
        self._failed_at = now
        self._next_at = now + backoff_seconds(
            self._failures, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS, rand=self._rand
        )
