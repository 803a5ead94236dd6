"""Whether the worker of this host is alive, for container health checks."""

from __future__ import annotations

from taskyard.settings import Settings
from taskyard.telemetry.heartbeat import Heartbeat


def check(settings: Settings) -> str | None:
    """The problem, or None."""
    return Heartbeat("worker", settings.health_file).problem()
