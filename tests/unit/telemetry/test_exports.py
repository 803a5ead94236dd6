"""What a service sends elsewhere: off by default, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any, cast

import pytest

from taskyard.settings import Settings
from taskyard.telemetry.exports import Exports, ExportsMisconfigured, are_traces_on, start_exports
from taskyard.telemetry.reports import NO_REPORTS

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}

_STARTED = """
import sys
import taskyard_api.composition, taskyard_scheduler.composition
import taskyard_worker.supervisor.composition, taskyard_worker.child.process
from taskyard.settings import Settings
from taskyard.telemetry.exports import start_exports
exports = start_exports("worker", Settings())
assert exports.tracer is None and not exports.reports.is_on
# redis-py imports OpenTelemetry's metrics wherever they are installed.
of_them = ("opentelemetry.exporter", "opentelemetry.sdk.trace", "sentry_sdk", "google.protobuf", "requests")
print(*sorted(name for name in sys.modules if name.startswith(of_them)))
"""


def test_where_both_are_off_no_service_imports_anything_of_them() -> None:
    named = ("OTEL_", "SENTRY_", "TASKYARD_SENTRY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    run = subprocess.run(
        [sys.executable, "-c", _STARTED], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ""


@pytest.mark.parametrize(
    ("environment", "are_on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "ours"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_opentelemetrys_own_variables_switch_traces_on(environment: dict[str, str], are_on: bool) -> None:
    assert are_traces_on(environment) is are_on


def test_a_protocol_that_is_not_spoken_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ExportsMisconfigured, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL: grpc "):
        start_exports("worker", Settings(), traces=False)


class Hanging:
    """A tracer whose receiver does not answer."""

    def __init__(self) -> None:
        self.stopping, self.answers = threading.Event(), threading.Event()
        self.has_told = False

    def stop(self) -> None:
        self.stopping.set()
        self.answers.wait(60)

    def tell_losses(self) -> None:
        self.has_told = True


def test_a_stop_does_not_wait_for_a_receiver_that_does_not_answer() -> None:
    hanging = Hanging()
    try:
        Exports(cast(Any, hanging), NO_REPORTS).stop(0.05)
        assert hanging.stopping.is_set()
        assert not hanging.answers.is_set(), "it came back before the receiver had answered"
        assert hanging.has_told
    finally:
        hanging.answers.set()
