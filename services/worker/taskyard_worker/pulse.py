"""Whether the worker lives, and whether it takes work: by what its children get done, not by being there.

Alive: in some child the consumer's loop and the writer go round. Waiting for PostgreSQL or Redis goes round,
too: an outage of theirs restarts nothing. Ready: some child gets at Redis for work, and is not about to end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .handle import STUCK_SECONDS, Handle

# Children that die one after the other before they go round: another process or host may do better.
STALLED_SECONDS = 120.0
_FETCHED_SECONDS = 10.0


class Pulse:
    """`look` with each turn of the supervisor's loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._went_round_at = clock()
        self.unready: str | None = "it is starting"

    def look(self, children: Iterable[Handle], *, is_registered: bool, is_stopping: bool) -> bool:
        """Whether it is alive; `unready` says afterwards why it takes no work, if so."""
        now = self._clock()
        ready = [child for child in children if child.ready]
        # Without its row in the ledger it starts no children. When it stops, they end one after the other.
        if not is_registered or is_stopping or any(goes_round(child, now) for child in ready):
            self._went_round_at = now
        self.unready = _why_unready(ready, now, is_registered=is_registered, is_stopping=is_stopping)
        return now - self._went_round_at < STALLED_SECONDS


def goes_round(child: Handle, now: float) -> bool:
    """A child whose main thread stands still is busy with C code that holds the GIL: its limit ends that."""
    header = child.table.header()
    if now - header.tick > STUCK_SECONDS:
        return any(entry.begun_at for entry in child.table.entries())
    return now - min(header.polled, header.wrote) < STUCK_SECONDS


def _why_unready(ready: list[Handle], now: float, *, is_registered: bool, is_stopping: bool) -> str | None:
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
