"""The metrics of a real stack as a real Prometheus sees them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fleet import Fleet, answers, free_port, wait_for
from tests.support.metrics_page import told
from tests.support.monitoring import prometheus, static_jobs

pytestmark = [pytest.mark.system, pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def targets(fleet: Fleet) -> dict[str, str]:
    """Where each service of a stack that has had work serves its metrics."""
    ports = {service: str(free_port()) for service in ("api", "worker", "scheduler")}
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["api"]
    fleet.start_api()
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["worker"]
    fleet.start_worker(processes=2)
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["scheduler"]
    fleet.start_scheduler()
    ids = fleet.submit_many(20, "tests.effect")
    ids.append(fleet.submit("diagnostics.fail", max_attempts=1))
    fleet.wait_final(ids, 30)
    found = {service: f"127.0.0.1:{port}" for service, port in ports.items()}
    for address in found.values():
        wait_for(lambda a=address: answers(f"http://{a}/metrics"), 30, "its metrics")  # type: ignore[misc]
    return found


def read(address: str) -> str:
    return httpx.get(f"http://{address}/metrics", timeout=5.0).text


def test_promtool_finds_no_fault_in_any_metric(targets: dict[str, str]) -> None:
    """Names, units, types and help, by the rules of those who made the format."""
    for service, address in targets.items():
        said = httpx.get(f"http://{address}/metrics", timeout=5.0).content
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=said, capture_output=True, check=False, timeout=30
        )
        assert checked.returncode == 0, (service, checked.stderr.decode())


def test_the_page_of_metrics_is_what_each_service_shows(targets: dict[str, str]) -> None:
    for service, address in targets.items():
        if service == "scheduler":
            wait_for(lambda: "taskyard_dead_letters{" in read(targets["scheduler"]), 20, "the leader's counts")
        families = [f for f in text_string_to_metric_families(read(address)) if f.name.startswith("taskyard_")]
        shown = {f"{f.name}_total" if f.type == "counter" else f.name: f for f in families}
        said = told(service)
        assert shown.keys() == said.keys(), service
        for name, family in shown.items():
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(said[name].labels), name


def test_a_worker_shows_what_its_processes_have_together(targets: dict[str, str]) -> None:
    (used,) = re.findall(r"^taskyard_worker_memory_bytes (\S+)$", read(targets["worker"]), re.MULTILINE)
    (own,) = re.findall(r"^process_resident_memory_bytes (\S+)$", read(targets["worker"]), re.MULTILINE)
    assert 1.5 * float(own) < float(used) < 20 * float(own), "a supervisor and two children"


def test_prometheus_scrapes_every_service_and_counts_what_was_done(targets: dict[str, str], tmp_path: Path) -> None:
    with prometheus(tmp_path, static_jobs({name: [address] for name, address in targets.items()})) as seen:
        wait_for(lambda: seen.value("sum(up)") == 3, 20, "three targets")
        wait_for(
            lambda: seen.value('sum(taskyard_task_attempts_total{outcome="succeeded"})') == 20, 10, "the successes"
        )
        assert seen.value('sum(taskyard_tasks_submitted_total{result="accepted"})') == 21
        assert seen.value('taskyard_task_failures_total{task="diagnostics.fail", kind="exception"} > 0') == 1
        wait_for(lambda: seen.value("taskyard_tasks_unaccounted") == 0, 20, "the scheduler's count")
        wait_for(lambda: seen.value('sum(taskyard_queue_tasks{queue="default"})') == 0, 20, "the depth")
