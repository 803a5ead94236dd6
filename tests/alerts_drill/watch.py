"""What Prometheus, Alertmanager and the receiver said, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from tests.support.fleet import repeating

from .monitors import Monitors, name_of

_LOOK_SECONDS = 2.0


@dataclass(slots=True)
class Seen:
    """Of one alert, in seconds since the epoch; None: not yet. `resolved`: at the last look it was not firing."""

    pending: float | None = None
    firing: float | None = None
    notified: float | None = None
    resolved: float | None = None
    was_inhibited: bool = False


@dataclass(slots=True)
class Watch:
    monitors: Monitors
    alerts: dict[str, Seen] = field(default_factory=dict)
    """By name, with the severity."""
    now_active: set[str] = field(default_factory=set)
    """Pending or firing at the last look."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        def look() -> None:
            with suppress(httpx.HTTPError):  # a busy machine
                self.look()

        with repeating(look, every=_LOOK_SECONDS):
            yield

    def forget(self) -> None:
        """What follows is looked at anew."""
        self.alerts = {}

    def look(self) -> None:
        now, firing, active = time.time(), set(), set()
        for alert in self.monitors.prometheus.alerts():
            name = name_of(alert["labels"])
            seen = self.alerts.setdefault(name, Seen())
            since = datetime.fromisoformat(alert["activeAt"]).timestamp()
            seen.pending = since if seen.pending is None else min(seen.pending, since)
            active.add(name)
            if alert["state"] == "firing":
                firing.add(name)
                seen.firing, seen.resolved = seen.firing or now, None
        told, inhibited = self.monitors.told(), self.monitors.inhibited()
        for name, seen in self.alerts.items():
            if seen.firing and seen.resolved is None and name not in firing:
                seen.resolved = now
            seen.was_inhibited |= name in inhibited
            if name in told and seen.firing:
                seen.notified = seen.notified or now
        self.now_active = active
