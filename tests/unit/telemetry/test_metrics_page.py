"""docs/metrics.md tells all metrics of the services, with their labels, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from taskyard.telemetry.metrics import Metrics
from tests.support.metrics_page import told
from tests.support.service_metrics import Worker, api_metrics, console_metrics, scheduler_metrics

# Made by a collector of its own.
_BUILD = {"taskyard_build_info": ("service", "version", "python")}


def kinds(metrics: Metrics) -> Iterator[tuple[str, str]]:
    for family in metrics.registry.collect():
        if family.name.startswith("process_"):
            continue  # prometheus_client's own
        yield (f"{family.name}_total" if family.type == "counter" else family.name), family.type


def compare(service: str, made: Mapping[str, tuple[str, ...]]) -> None:
    said = {name: row.labels for name, row in told(service).items()}
    exported = {**made, **_BUILD}
    assert not (left := sorted(exported.keys() - said.keys())), f"docs/metrics.md lacks these of {service}: {left}"
    assert not (gone := sorted(said.keys() - exported.keys())), f"{service} does not export, but the page has: {gone}"
    assert said == exported


def test_every_metric_of_the_api_is_on_the_page_and_no_other() -> None:
    compare("api", api_metrics().made)


def test_every_metric_of_the_scheduler_is_on_the_page_and_no_other() -> None:
    compare("scheduler", scheduler_metrics().made)


def test_every_metric_of_the_console_is_on_the_page_and_no_other() -> None:
    compare("console", console_metrics().made)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.stop()


def test_every_metric_of_a_worker_is_on_the_page_and_no_other(worker: Worker) -> None:
    worker.child()
    compare("worker", worker.made)


def test_the_page_names_the_kind_of_each_metric(worker: Worker) -> None:
    for service, metrics in (
        ("api", api_metrics()),
        ("worker", worker.supervisor.metrics),
        ("worker", worker.child().metrics),
        ("scheduler", scheduler_metrics()),
        ("console", console_metrics()),
    ):
        for name, kind in kinds(metrics):
            assert told(service)[name].kind == kind, (
                f"docs/metrics.md calls {name} of {service} a {told(service)[name]}"
            )
