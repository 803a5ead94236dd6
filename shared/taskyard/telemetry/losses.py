"""What did not reach its receiver: counted, and told at most once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context

import structlog

log = structlog.stdlib.get_logger(__name__)

QUIET_SECONDS = 60.0


class Losses:
    """`event` is the log line's, `what` its field with the number."""

    def __init__(self, event: str, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._event = event
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._told_at = float("-inf")

    def lost(self, number: int = 1) -> None:
        with self._lock:
            self._count += number
            if self._clock() - self._told_at < QUIET_SECONDS:
                return
            self._told_at = self._clock()
        self.tell()

    def tell(self) -> None:
        """Logs those that no line has told yet."""
        with self._lock:
            count, self._count = self._count, 0
        if count:
            # Whose request or task met the bound says nothing.
            Context().run(log.warning, self._event, **{self._what: count})
