"""What a service sends elsewhere: traces to an OTLP receiver, reports of failures to Sentry. Both are off unless the
environment says where to; what is off is not imported.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from .reports import NO_REPORTS, Reports

if TYPE_CHECKING:
    from ..domain.new_tasks import NewTask
    from ..settings_groups import SentrySettings
    from .spans import Tracer

log = structlog.stdlib.get_logger(__name__)

# A stop takes so much longer at most where a receiver does not answer.
STOP_SECONDS = 2.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


class ExportsMisconfigured(ValueError):
    """One line that names the variable."""


@dataclass(frozen=True, slots=True)
class Exports:
    """`tracer` is None where traces are off."""

    tracer: Tracer | None = None
    reports: Reports = NO_REPORTS

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Sends what waits, both at the same time. What is not sent by then is lost."""
        ends: list[Callable[[], None]] = []
        if self.tracer is not None:
            ends.append(self.tracer.stop)
        if self.reports.is_on:
            ends.append(partial(self.reports.stop, seconds))
        threads = [threading.Thread(target=end, name="exports-stop", daemon=True) for end in ends]
        try:
            for thread in threads:
                thread.start()
        except RuntimeError:  # no thread is left
            return
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            log.warning("exports_unsent", seconds=seconds)
            if self.tracer is not None:
                self.tracer.tell_losses()


NO_EXPORTS = Exports()


class Publishing(Protocol):
    """The spans of tasks that are being stored."""

    def forget(self) -> None:
        """The tasks were stored before: nothing is told of these spans."""
        ...


class _NotTraced:
    def forget(self) -> None:
        pass


_NOT_TRACED = _NotTraced()


def publishing(tracer: Tracer | None, tasks: Sequence[NewTask]) -> AbstractContextManager[Publishing]:
    """Around the commit of these tasks, whose `traceparent` becomes that of their spans."""
    return nullcontext(_NOT_TRACED) if tracer is None else tracer.publishing(tasks)


def start_exports(service: str, settings: SentrySettings, *, process: str = "", traces: bool = True) -> Exports:
    """Call it once a process, after logging is set up. `process` tells processes of a service apart.

    Raises ExportsMisconfigured, also where the traces are other processes' (`traces`).
    """
    tracer: Tracer | None = None
    reports: Reports = NO_REPORTS
    if are_traces_on(os.environ) and traces:
        from .spans import start_tracer

        tracer = start_tracer(service, process)
    if settings.sentry_dsn is not None:
        from .sentry import Sentry

        reports = Sentry(service, settings)
    return Exports(tracer, reports)


def are_traces_on(environment: Mapping[str, str]) -> bool:
    """By OpenTelemetry's variables. Raises ExportsMisconfigured for a protocol that is not spoken here."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return False
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    for name in _PROTOCOLS:
        if (protocol := environment.get(name, "")) not in {"", _PROTOCOL}:
            raise ExportsMisconfigured(f"{name}: {protocol} is not spoken here; traces go out by {_PROTOCOL}")
    return True
