"""How many ordinary children a worker keeps: as many as have work, between a minimum and a maximum."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from taskyard.domain.processes import ProcessRange

# Longer than a burst, and about as long as a child takes to start.
WINDOW_SECONDS = 2.0
SHRINK_SECONDS = 30.0
# Shares of all threads. `_FULL` is less than 1 because a thread is free for a moment between two tasks, even under
# load; `_ROOMY` is less than `_FULL` so that the remaining children are not full at once after one has gone.
_FULL = 0.9
_ROOMY = 0.8


class Autoscale:
    """`wanted` grows by one after each window of `WINDOW_SECONDS` in which hardly a thread was free. It falls by one
    after `SHRINK_SECONDS` in which one child fewer would have been enough."""

    def __init__(
        self, *, minimum: int, maximum: int, threads: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.bounds = ProcessRange(minimum, maximum)
        self.wanted = minimum
        self._threads = threads
        self._clock = clock
        self._began = self._needed_at = clock()
        self._samples: list[int] = []
        self._is_complete = True

    @property
    def maximum(self) -> int:
        return self.bounds.maximum

    @property
    def is_fixed(self) -> bool:
        return self.bounds.minimum == self.bounds.maximum

    def resize(self, bounds: ProcessRange) -> None:
        self.bounds = bounds
        self.wanted = min(max(self.wanted, bounds.minimum), bounds.maximum)
        self._began = self._needed_at = self._clock()
        self._samples, self._is_complete = [], True

    def look(self, held: Sequence[int]) -> None:
        """`held`: how many unfinished claims each child has that is ready and stays."""
        now = self._clock()
        self._samples.append(sum(min(tasks, self._threads) for tasks in held))
        self._is_complete = self._is_complete and len(held) >= self.wanted
        if now - self._began < WINDOW_SECONDS:
            return
        taken = sum(self._samples) / len(self._samples)
        grows = self._is_complete and taken >= _FULL * self.wanted * self._threads and self.wanted < self.bounds.maximum
        if taken > _ROOMY * (self.wanted - 1) * self._threads:
            self._needed_at = now
        shrinks = now - self._needed_at >= SHRINK_SECONDS and self.wanted > self.bounds.minimum
        if grows or shrinks:
            self.wanted += 1 if grows else -1
            self._needed_at = now
        self._began, self._samples, self._is_complete = now, [], True
