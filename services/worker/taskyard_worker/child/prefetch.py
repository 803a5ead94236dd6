"""How many tasks may be claimed ahead of the threads, and how long these claims may wait for one.

What a child claims and does not begin is held back from the idle threads of others. So it claims ahead only while its
threads become free all the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..slots import AHEAD_PER_THREAD
from .slot import Slot

AHEAD_SECONDS = 0.1
# The longest that a claim may wait for a thread, whatever keeps the threads.
_UNBEGUN_SECONDS = 0.2
# Where a thread is free, it waits for what else the consumer has to do first: for a slow PostgreSQL or Redis.
_BESIDE_A_FREE_THREAD_SECONDS = 1.0
# What comes around a function counts from here. Less is mostly a wait for the interpreter, and 16 times that is within
# the longest wait.
_NOTICEABLE_SECONDS = 0.01
_SMOOTHING = 0.2
# Runs for which a queue is remembered for a slow task among its quick ones. In a mean of all, the quick ones hide it.
_REMEMBERED_RUNS = 50


@dataclass(slots=True)
class _Runs:
    mean_seconds: float
    """Of the quick ones."""
    since_slow: int = _REMEMBERED_RUNS

    def add(self, seconds: float) -> None:
        if seconds > AHEAD_SECONDS:
            self.since_slow = 0
        else:
            self.since_slow += 1
            self.mean_seconds += _SMOOTHING * (seconds - self.mean_seconds)


class Prefetch:
    """Not thread-safe: the claim table calls it under its lock."""

    def __init__(self, threads: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._threads = threads
        self._most = AHEAD_PER_THREAD * threads
        self._runs: dict[str, _Runs] = {}
        self._began: dict[Slot, float] = {}  # what the threads are taken by, the oldest first
        self._freed_at = -math.inf

    def ahead(self, queue: str) -> int:
        """As many as can finish in 100 ms, at most 16 a thread; none while the queue's run time is unknown or one of
        its latest runs was slow."""
        runs = self._runs.get(queue)
        if runs is None or runs.since_slow < _REMEMBERED_RUNS:
            return 0
        return min(self._most, int(AHEAD_SECONDS / max(runs.mean_seconds, 1e-6)))

    def least(self, queues: Iterable[str]) -> int:
        """What the slowest of these queues allows; none where no thread has become free within 100 ms, or one is busy
        for longer."""
        since = self._clock() - AHEAD_SECONDS
        if self._freed_at < since or self._oldest < since:
            return 0
        return min((self.ahead(q) for q in queues), default=0)

    def patience(self) -> float:
        """After how many seconds a claim that has not begun is given back."""
        if len(self._began) < self._threads:
            return _BESIDE_A_FREE_THREAD_SECONDS
        is_slow = self._oldest < self._clock() - AHEAD_SECONDS
        return AHEAD_SECONDS if is_slow else _UNBEGUN_SECONDS

    @property
    def _oldest(self) -> float:
        return next(iter(self._began.values()), math.inf)

    def began(self, slot: Slot) -> None:
        """A thread has taken it."""
        self._began[slot] = self._clock()

    def ended(self, slot: Slot) -> bool:
        """Its thread is free again; False where it was before."""
        if self._began.pop(slot, None) is None:
            return False
        self._freed_at = self._clock()
        return True

    def ran(self, queue: str, run_seconds: float, taken_seconds: float) -> None:
        """How long the function took, and how long its thread was taken: by hooks and its scratch directory, too."""
        seconds = taken_seconds if taken_seconds - run_seconds > _NOTICEABLE_SECONDS else run_seconds
        runs = self._runs.get(queue)
        if runs is None:
            runs = self._runs[queue] = _Runs(min(seconds, AHEAD_SECONDS))
        runs.add(seconds)
