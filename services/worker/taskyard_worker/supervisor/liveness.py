"""Liveness and readiness of the worker, by what its children get done.

Alive: the consumer's loop and the writer's loop of at least one child turn. They turn while PostgreSQL or Redis is
away, too: an outage restarts nothing. Ready: at least one child that stays can fetch tasks from Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from ..slots import SlotTable
from .handle import stopped_loop

# Children that die one after the other before their loops turn: another process or host may do better.
STALLED_SECONDS = 120.0
_FETCHED_SECONDS = 10.0


class Child(Protocol):
    """What counts of a `Handle`."""

    ready: bool
    retiring: bool
    quarantine: bool

    @property
    def table(self) -> SlotTable: ...


class Liveness:
    """`look` with each turn of the supervisor's loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned_at = clock()
        self.unready: str | None = "it is starting"

    def look(self, children: Iterable[Child], *, is_registered: bool, is_stopping: bool) -> bool:
        """Whether the worker is alive. Afterwards `unready` says why it takes no tasks, if so."""
        now = self._clock()
        ready = [child for child in children if child.ready]
        # Without its row in the ledger it starts no children. While it stops, they end one after the other.
        turns = any(stopped_loop(child.table, now, ready=True) is None for child in ready)
        if not is_registered or is_stopping or turns:
            self._turned_at = now
        self.unready = _why_unready(ready, now, is_registered=is_registered, is_stopping=is_stopping)
        return now - self._turned_at < STALLED_SECONDS


def _why_unready(ready: list[Child], now: float, *, is_registered: bool, is_stopping: bool) -> str | None:
    if is_stopping:
        return "it is stopping"
    if not is_registered:
        return "PostgreSQL does not know it yet"
    serving = [child for child in ready if not (child.retiring or child.quarantine)]
    if not serving:
        return "no child process is ready"
    fetched_at = max(child.table.header().fetched for child in serving)
    if now - fetched_at > _FETCHED_SECONDS:
        return "its child processes get at no work: PostgreSQL or Redis does not answer"
    return None
