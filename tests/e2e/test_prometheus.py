"""The metrics of a real stack as a real Prometheus sees them."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fleet import Fleet, answers, free_port, wait_for

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
        wait_for(lambda a=address: answers(f"http://{a}/metrics"), 10, "its metrics")  # type: ignore[misc]
    return found


def test_promtool_finds_no_fault_in_any_metric(targets: dict[str, str]) -> None:
    """Names, units, types and help, by the rules of those who made the format."""
    for service, address in targets.items():
        said = httpx.get(f"http://{address}/metrics", timeout=5.0).content
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=said, capture_output=True, check=False, timeout=30
        )
        assert checked.returncode == 0, (service, checked.stderr.decode())


def test_prometheus_scrapes_every_service_and_counts_what_was_done(targets: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    jobs = [{"job_name": name, "static_configs": [{"targets": [address]}]} for name, address in targets.items()]
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))  # JSON is YAML
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), 30, "Prometheus")

        def value(query: str) -> float | None:
            answer: Any = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=5.0)
            result = answer.json()["data"]["result"]
            return float(result[0]["value"][1]) if result else None

        wait_for(lambda: value("sum(up)") == 3, 20, "three targets")
        wait_for(lambda: value('sum(taskyard_task_attempts_total{outcome="succeeded"})') == 20, 10, "the successes")
        assert value("sum(taskyard_tasks_submitted_total)") == 21
        assert value('taskyard_task_failures_total{task="diagnostics.fail", kind="exception"} > 0') == 1
        wait_for(lambda: value("taskyard_tasks_unaccounted") == 0, 20, "the scheduler's count")
        wait_for(lambda: value('sum(taskyard_queue_tasks{queue="default"})') == 0, 20, "the depth")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
