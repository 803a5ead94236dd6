"""Slowed: the tasks that an ordinary child leaves alone for now, as its supervisor says (`supervisor/brakes.py`)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping


class Slowed:
    """Set by the main thread, read by the consumer's. Names are those of `lifecycle.claim.kind_name`, times are
    CLOCK_MONOTONIC seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rand: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._rand = rand
        self._until: Mapping[str, float] = {}

    def replace(self, until: Mapping[str, float]) -> None:
        self._until = dict(until)

    @property
    def names(self) -> list[str]:
        """Those that are slowed now."""
        now = self._clock()
        return [name for name, until in self._until.items() if until > now]

    def seconds(self, name: str) -> float:
        """How long to put tasks of this name off: until it is not slowed any more, and not all to the same moment."""
        left = self._until.get(name, 0.0) - self._clock()
        return max(1.0, left) * (1.0 + self._rand() / 4)
