"""A file whose age says whether a service's main loop turns.

A container's health check looks at its modification time: no port, no network, and no Python start-up needed
(`stat` will do). The services touch it once a second or so.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path

STALE_AFTER = timedelta(seconds=15)


class Heartbeat:
    """`path` wins over the default, `taskyard-<service>.alive` in the temporary directory."""

    def __init__(self, service: str, path: Path | None = None) -> None:
        self.path = path or Path(tempfile.gettempdir()) / f"taskyard-{service}.alive"
        self._next = 0.0

    def touch(self) -> None:
        """At most once a second; a directory that cannot be written makes the service unhealthy, not dead."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        try:
            self.path.touch()
            os.utime(self.path)
        except OSError:
            pass

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def problem(self, *, stale_after: timedelta = STALE_AFTER) -> str | None:
        """Why the service is not taken for alive, or None."""
        try:
            age = time.time() - self.path.stat().st_mtime
        except OSError:
            return f"{self.path} is not there: it is not running, or only starting"
        if age > stale_after.total_seconds():
            return f"its main loop has not turned for {age:.0f} s"
        return None
