"""What a service sends elsewhere: traces to an OTLP receiver, reports of failures to Sentry. Both are off unless the
environment says where to. Nothing of the SDK, the exporters or Sentry is imported for what is off.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from .reports import NO_REPORTS, Reports
from .trace_variables import ExportsMisconfigured, are_traces_on

if TYPE_CHECKING:
    from ..domain.new_tasks import NewTask
    from ..settings import Settings
    from .spans import Tracer

log = structlog.stdlib.get_logger(__name__)

# A stop takes so much longer at most where a receiver does not answer.
STOP_SECONDS = 2.0


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


def import_exports(settings: Settings) -> None:
    """Imports what `start_exports` will, and starts nothing: in a process that will be forked."""
    if are_traces_on(os.environ):
        from . import spans  # noqa: F401
    if settings.sentry_dsn is not None:
        from . import sentry  # noqa: F401


def start_exports(service: str, settings: Settings, *, process: str = "", traces: bool = True) -> Exports:
    """Call it once a process, after logging is set up. `process` tells processes of a service apart.

    Raises ExportsMisconfigured, also where the traces are other processes' (`traces`).
    """
    tracer: Tracer | None = None
    reports: Reports = NO_REPORTS
    if are_traces_on(os.environ) and traces:
        from .spans import start_tracer

        try:
            tracer = start_tracer(service, process)
        except ValueError as e:  # of a variable that is not checked before
            raise ExportsMisconfigured(f"OTEL_*: {e}") from e
    if settings.sentry_dsn is not None:
        from .sentry import Sentry

        try:
            reports = Sentry(service, settings)
        except ValueError as e:
            raise ExportsMisconfigured(f"SENTRY_DSN: {e}") from e
    return Exports(tracer, reports)
