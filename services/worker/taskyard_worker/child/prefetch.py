"""How many tasks may be claimed ahead of the threads, by how long the tasks of a queue run."""

from __future__ import annotations

from collections.abc import Iterable

from ..slots import AHEAD_PER_THREAD

AHEAD_SECONDS = 0.1
_SMOOTHING = 0.2


class Prefetch:
    """Not thread-safe: the claim table calls it under its lock."""

    def __init__(self, threads: int) -> None:
        self._most = AHEAD_PER_THREAD * threads
        self._mean_seconds: dict[str, float] = {}

    def ahead(self, queue: str) -> int:
        """As many as can finish in 100 ms, at most 4 a thread; none while the queue's run time is unknown."""
        mean = self._mean_seconds.get(queue)
        if mean is None:
            return 0
        return min(self._most, int(AHEAD_SECONDS / max(mean, 1e-6)))

    def least(self, queues: Iterable[str]) -> int:
        """What the slowest of these queues allows."""
        return min((self.ahead(q) for q in queues), default=0)

    def ran(self, queue: str, seconds: float) -> None:
        """A slow run counts at once; quick runs count a little each."""
        before = self._mean_seconds.get(queue, seconds)
        weight = 1.0 if seconds > AHEAD_SECONDS else _SMOOTHING
        self._mean_seconds[queue] = before + weight * (seconds - before)

    def waited_too_long(self, queue: str) -> None:
        """A claim ahead had to be given back: no more for this queue until its tasks are quick."""
        self._mean_seconds[queue] = AHEAD_SECONDS * 10
