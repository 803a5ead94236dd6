"""What a service sends elsewhere: traces to an OTLP receiver, reports of failures to Sentry. Both are off unless the
environment says where to; what is off is not imported.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from .reports import NO_REPORTS, Reports

if TYPE_CHECKING:
    from ..settings_groups import SentrySettings
    from .spans import Tracer

log = structlog.stdlib.get_logger(__name__)

# A stop takes so much longer at most where a receiver does not answer.
STOP_SECONDS = 2.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Exports:
    """`tracer` is None where traces are off."""

    tracer: Tracer | None = None
    reports: Reports = NO_REPORTS

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Sends what waits, both at the same time. What is not sent by then is lost."""
        ends: list[Callable[[float], None]] = []
        if self.tracer is not None:
            ends.append(self.tracer.stop)
        if self.reports.is_on:
            ends.append(self.reports.stop)
        threads = [threading.Thread(target=end, args=[seconds], name="exports-stop", daemon=True) for end in ends]
        try:
            for thread in threads:
                thread.start()
        except RuntimeError:  # no thread is left
            return
        for thread in threads:
            thread.join(seconds)


NO_EXPORTS = Exports()


def start_exports(service: str, settings: SentrySettings, *, process: str = "", traces: bool = True) -> Exports:
    """Call it once a process, after logging is set up. `process` tells processes of a service apart.

    Raises ValueError with one line that names the variable.
    """
    tracer: Tracer | None = None
    reports: Reports = NO_REPORTS
    if traces and are_traces_on(os.environ):
        from .spans import start_tracer

        tracer = start_tracer(service, process)
    if settings.sentry_dsn is not None:
        from .sentry import Sentry

        reports = Sentry(service, settings)
    return Exports(tracer, reports)


def are_traces_on(environment: Mapping[str, str]) -> bool:
    """By OpenTelemetry's variables. Raises ValueError for a protocol that is not spoken here."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return False
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    for name in _PROTOCOLS:
        if (protocol := environment.get(name, "")) not in {"", _PROTOCOL}:
            raise ValueError(f"{name}: {protocol} is not spoken here; traces go out by {_PROTOCOL}")
    return True
