"""Whether the worker of this host (or container) is alive, for health checks."""

from __future__ import annotations

from taskyard.settings import Settings
from taskyard.telemetry.heartbeat import Heartbeat


def check(settings: Settings, *, ready: bool = False) -> str | None:
    """The problem, or None. With `ready`, also what keeps it from taking tasks."""
    heartbeat = Heartbeat("worker", settings.health_file)
    return heartbeat.unready() if ready else heartbeat.problem()
