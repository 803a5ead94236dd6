"""Reports to Sentry: final failures of tasks, and unexpected errors of the services.

A client of our own, without integrations: those would send what tasks log, the variables of their frames and requests
with their headers. What is sent of a task is what the ledger shows of its failure, where its secrets are struck out; of
an error of a service, its class, its frames and the first line of its text. The secrets of the settings and passwords
in addresses are struck out of both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import structlog
from sentry_sdk import Client
from sentry_sdk.transport import HttpTransport
from sentry_sdk.utils import event_from_exception

from ..version import __version__
from .configured_secrets import Strike
from .losses import Losses
from .report_budget import Budget
from .reports import FailedTask
from .trace_context import attempt_span_id

if TYPE_CHECKING:
    from ..settings import Settings

log = structlog.stdlib.get_logger(__name__)

_MAX_TEXT = 1000
_QUEUED = 100
_FRAME = re.compile(r'^ +File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
_LIBRARIES = ("site-packages", "/lib/python", "<frozen")


class _Transport(HttpTransport):
    """Counts what is lost, where urllib3 would write a line for each attempt to connect."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.losses = Losses("reports_lost", "reports")
        super().__init__(options)

    def on_dropped_event(self, _reason: str) -> None:
        self.losses.lost()

    def _get_pool_options(self) -> dict[str, Any]:
        return {**super()._get_pool_options(), "retries": False}


class Sentry:
    """Sends from a thread of its own, which the first report starts, out of a queue with a bound."""

    is_on = True

    def __init__(self, service: str, settings: Settings) -> None:
        assert settings.sentry_dsn is not None
        self._service = service
        self._strike = Strike(settings)
        self._budget = Budget()
        self._client = Client(
            dsn=settings.sentry_dsn.get_secret_value(),
            environment=settings.sentry_environment or settings.app_env,
            release=settings.sentry_release or f"taskyard@{__version__}",
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            enable_backpressure_handling=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            propagate_traces=False,
            send_client_reports=False,
            transport=_Transport,
            transport_queue_size=_QUEUED,
        )
        transport = self._client.transport
        assert isinstance(transport, _Transport)
        self._losses = transport.losses

    def task_failed(self, failed: FailedTask) -> None:
        # The class tells apart what has the one code of all exceptions that tasks do not name themselves.
        fingerprint = ("task", failed.name, failed.code, failed.type)
        if not self._budget.take(fingerprint):
            self._losses.lost()
            return
        tags = {
            "task.type": failed.name,
            "task.queue": failed.queue,
            "task.attempt": str(failed.attempt),
            "task.failure_kind": failed.kind,
            "task.error_code": failed.code,
            "task.id": str(failed.task_id),
            "request_id": failed.request_id,
            "trace_id": failed.trace_id,
        }
        error: dict[str, Any] = {"type": failed.type, "value": self._strike(failed.message)[:_MAX_TEXT]}
        if frames := frames_of(failed.traceback or ""):
            error["stacktrace"] = {"frames": frames}
        event: dict[str, Any] = {
            "transaction": failed.name,
            "exception": {"values": [error]},
            "tags": tags,
            "fingerprint": [*fingerprint],
        }
        if failed.trace_id is not None:
            span_id = f"{attempt_span_id(failed.task_id, failed.attempt):016x}"
            event["contexts"] = {"trace": {"trace_id": failed.trace_id, "span_id": span_id}}
        self._capture(event)

    def unexpected(self, error: BaseException, **tags: str) -> None:
        if not self._budget.take((type(error).__name__, *tags.values())):
            self._losses.lost()
            return
        try:
            event, _ = event_from_exception(error, client_options=self._client.options)
        except Exception as e:  # noqa: BLE001 - the error's own code may fail
            log.warning("report_not_made", error=type(e).__name__)
            return
        for value in event.get("exception", {}).get("values", ()):
            # What follows the first line quotes statements and rows.
            first = str(value.get("value") or "").partition("\n")[0]
            value["value"] = self._strike(first)[:_MAX_TEXT]
        bound = structlog.contextvars.get_contextvars()
        known = {name: bound[name] for name in ("request_id", "trace_id") if bound.get(name)}
        self._capture({**event, "tags": {**known, **tags}})

    def lost(self, number: int) -> None:
        if number:
            self._losses.lost(number)

    def stop(self, seconds: float) -> None:
        self._client.close(timeout=seconds)
        self._losses.tell()

    def _capture(self, event: dict[str, Any]) -> None:
        tags = {name: value for name, value in event["tags"].items() if value is not None}
        try:
            self._client.capture_event(
                {"level": "error", "platform": "python", "logger": "taskyard", **event,  # type: ignore[typeddict-item]
                 "tags": {"service": self._service, **tags}}
            )  # fmt: skip
        except Exception as e:  # noqa: BLE001 - a report is not worth what it reports on
            log.warning("report_not_made", error=type(e).__name__)


def frames_of(traceback: str) -> list[dict[str, Any]]:
    """The frames of the last error in Python's text, the outermost first."""
    last = traceback.rpartition("Traceback (most recent call last):")[2]
    return [
        {
            "filename": found["file"],
            "lineno": int(found["line"]),
            "function": found["function"],
            "in_app": not any(part in found["file"] for part in _LIBRARIES),
        }
        for found in _FRAME.finditer(last)
    ]
