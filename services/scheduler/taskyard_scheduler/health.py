"""Whether the scheduler of this host is alive, for health checks of containers: with a handful of small imports."""

from __future__ import annotations

import sys
from pathlib import Path

from taskyard.telemetry.heartbeat import Heartbeat


def healthcheck(path: str | None) -> int:
    """Returns 0 while the main loop turns, else 1 with one line on standard error."""
    problem = Heartbeat("scheduler", Path(path) if path else None).problem()
    if problem is not None:
        sys.stderr.write(f"unhealthy: {problem}\n")
        return 1
    return 0
