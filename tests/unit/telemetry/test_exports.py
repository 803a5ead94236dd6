"""What a service sends elsewhere: off by default, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any, cast

import pytest

from taskyard.settings import Settings
from taskyard.telemetry.exports import Exports, start_exports
from taskyard.telemetry.reports import NO_REPORTS
from taskyard.telemetry.trace_variables import ExportsMisconfigured, are_traces_on, batch_of

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}

_STARTED = """
import sys
import taskyard_api.composition, taskyard_scheduler.composition
import taskyard_worker.supervisor.composition, taskyard_worker.child.process
from taskyard.settings import Settings
from taskyard.telemetry.exports import start_exports
exports = start_exports("worker", Settings())
assert exports.tracer is None and not exports.reports.is_on
# redis-py imports OpenTelemetry's API of metrics wherever it is installed.
of_them = ("opentelemetry.exporter", "opentelemetry.sdk.trace", "sentry_sdk", "google.protobuf", "requests")
print(*sorted(name for name in sys.modules if name.startswith(of_them)))
"""


def test_where_both_are_off_no_service_imports_the_sdk_an_exporter_or_sentry() -> None:
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:none"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/nowhere/key.pem"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ],
)
def test_a_wrong_variable_is_named_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Also by the worker's supervisor, whose children make the traces."""
    for variable, given in (ENDPOINT | {name: value}).items():
        monkeypatch.setenv(variable, given)
    with pytest.raises(ExportsMisconfigured, match=rf"^{name}: "):
        start_exports("worker", Settings(), traces=False)


def test_a_sampling_ratio_without_a_number_is_refused() -> None:
    ratio = ENDPOINT | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
    assert are_traces_on(ratio | {"OTEL_TRACES_SAMPLER_ARG": "0.05"})
    with pytest.raises(ExportsMisconfigured, match=r"^OTEL_TRACES_SAMPLER_ARG: "):
        are_traces_on(ratio | {"OTEL_TRACES_SAMPLER_ARG": "5%"})


def test_a_small_queue_makes_small_batches() -> None:
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "100"}
    assert are_traces_on(ENDPOINT | small)
    assert (batch_of({}), batch_of(small)) == (512, 100)


@pytest.mark.parametrize(
    "dsn", ["https://key@sentry.example/shop", "https://key@sentry.example:none/7", "https://sentry.example/7", "key"]
)
def test_an_address_that_is_no_dsn_is_refused_by_its_variable(dsn: str) -> None:
    with pytest.raises(ValueError, match=r"SENTRY_DSN\n.*must be like https://KEY@HOST/7"):
        Settings.model_validate({"SENTRY_DSN": dsn})


_COPIED = """
import os, threading
from opentelemetry import trace
from taskyard.telemetry.spans import start_tracer
tracer = start_tracer("worker")
trace.get_tracer("tests").start_span("one").end()
if (copy := os.fork()) == 0:
    trace.get_tracer("tests").start_span("two").end()
    os._exit(threading.active_count())
here, there = threading.active_count(), os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
print(here, there, flush=True)
os._exit(0)
"""


def test_a_copy_of_a_process_has_no_thread_for_spans() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _COPIED], env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.stderr, run.stdout) == ("", "2 1\n")


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
