"""Brakes: what keeps ending processes is slowed, so that the others need not wait for new processes all the time.

A task ends its process where it runs past its hard limit, does not stop after a cancellation, or crashes as the only
task that had begun. That is counted for its type and for its submitter. From the third time on, ordinary children leave
the tasks of that type from that submitter alone for a while, which doubles each time. Other types of the submitter, and
the same type from others, go on; so do tasks that run apart (`taskyard_worker.quarantine`), where they harm nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

import structlog

from taskyard.backoff import backoff_seconds
from taskyard.lifecycle.claim import kind_name

from ..slots import Kind
from .handle import Handle

log = structlog.stdlib.get_logger(__name__)

FREE = 2  # processes that an accident may cost
_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 60.0
_FORGIVEN_SECONDS = 2 * _LONGEST_SECONDS


class Brakes:
    """Belongs to the supervisor's main thread. `count` is told the type, and whether it was slowed."""

    def __init__(
        self,
        children: Iterable[Handle],
        count: Callable[[str, bool], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._children = children
        self._count = count
        self._clock = clock
        self._rand = rand
        self._ended: dict[tuple[str, str], tuple[int, float]] = {}  # of "type" or "key" and its name: how many, when
        self._until: dict[str, float] = {}

    def ended_its_process(self, kind: Kind) -> None:
        """A task of this kind did."""
        name, key = kind
        times = max(self._again("type", name), self._again("key", key) if key else 0)
        self._count(name, times > FREE)
        if times <= FREE:
            return
        seconds = backoff_seconds(times - FREE, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS, rand=self._rand)
        log.warning(
            "tasks_slowed", task_name=name, submitted_by=key or None, processes=times, seconds=round(seconds, 1)
        )
        now = self._clock()
        self._until = {n: until for n, until in self._until.items() if until > now}
        self._until[kind_name(name, key)] = now + seconds
        for child in self._children:
            self.tell(child)

    def tell(self, child: Handle) -> None:
        """Tells the child what to leave alone, and until when (CLOCK_MONOTONIC, which it shares)."""
        if self._until and not child.quarantine:
            child.send({"do": "slow", "until": self._until})

    def _again(self, what: str, name: str) -> int:
        """How many processes it has ended without a longer pause in between."""
        now = self._clock()
        self._ended = {who: (n, at) for who, (n, at) in self._ended.items() if now - at < _FORGIVEN_SECONDS}
        times, _ = self._ended.get((what, name), (0, now))
        self._ended[what, name] = (times + 1, now)
        return times + 1
