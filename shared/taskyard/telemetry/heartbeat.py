"""A file whose age shows whether a service makes progress.

A container's health check reads its modification time: without a port, the network, or the start of a Python process
(`stat` is enough). Services touch it about once a second. Its content, if any, is the reason why the service takes no
work now (`test ! -s` is enough).
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

STALE_AFTER = timedelta(seconds=15)


class Heartbeat:
    """`path` wins over the default, `taskyard-<service>.alive` in the temporary directory."""

    def __init__(self, service: str, path: Path | None = None) -> None:
        self.path = path or Path(tempfile.gettempdir()) / f"taskyard-{service}.alive"
        self._next = 0.0
        self._unready: str | None = None

    def touch(self) -> None:
        """At most once a second. A directory that cannot be written makes the service unhealthy; it does not end it."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        try:
            self.path.touch()
            os.utime(self.path)
        except OSError:
            pass

    def beat(self, alive: bool, unready: str | None = None) -> None:
        """Touches the file where the service is alive, and writes the reason why it takes no work, if any, into it."""
        if unready != self._unready:
            self._unready = unready
            self._next = 0.0
            with suppress(OSError):
                self.path.write_text(unready or "", "utf-8")
        if alive:
            self.touch()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def problem(self) -> str | None:
        """Why the service counts as dead, or None."""
        try:
            age = time.time() - self.path.stat().st_mtime
        except OSError:
            return f"{self.path} is not there: it is not running, or only starting"
        if age > STALE_AFTER.total_seconds():
            return f"it has not got on for {age:.0f} s"
        return None

    def unready(self) -> str | None:
        """Why the service takes no work, or None."""
        if problem := self.problem():
            return problem
        with suppress(OSError):
            return self.path.read_text("utf-8") or None
        return None
