"""The claims that wait for a thread, and the threads that take them.

A message of Dramatiq's calls a thread, which then takes claims until none waits. To hand over each claim with a message
of its own costs more than a quick task: the message, its way through Dramatiq, and two threads that take turns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from .slot import Slot


class Waiting:
    """It counts the threads that take claims, and not the calls: one too many finds nothing, and for one that got lost
    the next claims make another."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._claims: deque[Slot] = deque()
        self._taking: set[int] = set()
        self._lock = threading.Lock()  # over whether a thread that found nothing takes claims still

    # For the consumer

    def add(self, slots: Iterable[Slot]) -> int:
        """Returns how many threads to call: one for each claim that waits, as far as there are idle ones."""
        with self._lock:
            self._claims.extend(slots)
            return min(len(self._claims), self._threads - len(self._taking))

    @property
    def is_empty(self) -> bool:
        return not self._claims

    # For a thread that was called

    def come(self) -> None:
        self._taking.add(threading.get_ident())

    def take(self) -> Slot | None:
        """The claim that has waited longest, which may have been given back meanwhile. None lets the thread leave."""
        try:
            return self._claims.popleft()  # nearly always, and without the lock
        except IndexError:
            return self._take_or_leave()

    def _take_or_leave(self) -> Slot | None:
        with self._lock:
            if self._claims:
                return self._claims.popleft()
            self.leave()
            return None

    def leave(self) -> None:
        """Also where the thread has left before, and for one that was interrupted from outside."""
        self._taking.discard(threading.get_ident())
