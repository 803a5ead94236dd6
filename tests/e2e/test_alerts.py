"""The rules, with a real Prometheus against a real stack, and the inhibitions and routes with a real Alertmanager."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.alerts import CASES, MONITORING, RULES, shortened
from tests.support.fleet import Fleet, answers, free_port, repeating, wait_for
from tests.support.monitoring import Prometheus, alertmanager, prometheus, static_jobs

pytestmark = [pytest.mark.system, pytest.mark.e2e, pytest.mark.timeout(300)]

ALERTMANAGER = MONITORING / "alertmanager.yml"
HEALTHY_SECONDS = 20  # ten minutes, as the shortened rules see it; healthy.yml has two hours


def test_each_alert_fires_and_stays_silent_where_it_should() -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda cases: said_of("promtool", "test", "rules", str(cases)), CASES))


def said_of(*command: str) -> str:
    """What a command prints that has to succeed."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


def stack(fleet: Fleet) -> tuple[dict[str, list[str]], subprocess.Popen[bytes]]:
    """Starts one with two schedulers; where each service serves its metrics, and its worker."""
    addresses: dict[str, list[str]] = {}

    def start(service: str, starting: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        port = free_port()
        fleet.environment["TASKYARD_METRICS_PORT"] = str(port)
        process = starting()
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/metrics"), 20, f"the metrics of {service}")
        addresses.setdefault(service, []).append(f"127.0.0.1:{port}")
        return process

    start("scheduler", fleet.start_scheduler)
    start("scheduler", fleet.start_scheduler)
    start("api", fleet.start_api)
    worker = start("worker", lambda: fleet.start_worker(processes=2))
    return addresses, worker


def test_a_healthy_stack_under_load_fires_no_alert_and_one_without_workers_does(fleet: Fleet, tmp_path: Path) -> None:
    """What it can't see is said where the rules are shortened."""
    addresses, worker = stack(fleet)
    groups = [group for path in RULES for group in yaml.safe_load(shortened(path.read_text("utf-8")))["groups"]]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": groups}))
    with prometheus(tmp_path, static_jobs(addresses), every="2s", rules=[rules]) as seen:
        with repeating(lambda: fleet.submit_many(20, "tests.effect"), every=0.5):
            time.sleep(HEALTHY_SECONDS)
        rate = seen.value("max_over_time(namespace:taskyard_tasks_ended:rate5m[1m])")
        assert rate is not None, "the rules see the load"
        assert rate > 1
        fired = seen.query('count by (alertname, job) (count_over_time(ALERTS{alertstate="firing"}[10m]))')
        assert fired == [], fleet.logs()

        worker.send_signal(signal.SIGKILL)
        worker.wait(10)  # until then its children live, and may take one more
        fleet.submit("tests.effect")
        expected = {"TaskyardWorkersDown", "TaskyardTargetDown", "TaskyardNoWorkerForQueue"}
        wait_for(lambda: firing(seen) >= expected, 90, f"{expected} to fire")


def firing(seen: Prometheus) -> set[str]:
    return {alert["labels"]["alertname"] for alert in seen.alerts() if alert["state"] == "firing"}


def route_of(config: Path, **labels: str) -> str:
    """The receiver of an alert with these labels, as amtool says."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    return said_of("amtool", "config", "routes", "test", f"--config.file={config}", *pairs)


def test_pages_go_to_the_pager_and_all_else_to_the_tickets() -> None:
    assert route_of(ALERTMANAGER, alertname="TaskyardDatabaseDown", severity="page") == "pager"
    assert route_of(ALERTMANAGER, alertname="TaskyardDatabaseSlow", severity="ticket") == "tickets"
    assert route_of(ALERTMANAGER, alertname="SomethingElse") == "tickets"


def test_receivers_are_right_once_they_are_filled_in(tmp_path: Path) -> None:
    text = ALERTMANAGER.read_text("utf-8")
    filled = re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE)
    config = tmp_path / "alertmanager.yml"
    config.write_text(filled)
    found = yaml.safe_load(filled)
    kinds = {receiver["name"]: sorted(receiver.keys() - {"name"}) for receiver in found["receivers"]}
    assert kinds == {
        "pager": ["opsgenie_configs", "pagerduty_configs", "webhook_configs"],
        "tickets": ["email_configs", "slack_configs"],
    }
    checked = subprocess.run(
        ["amtool", "check-config", config], capture_output=True, text=True, check=False, timeout=30
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    secrets = set(re.findall(r"_file: (\S+?)[ }]*$", filled, re.MULTILINE))
    assert len(secrets) == 5
    assert all(path.startswith("/etc/alertmanager/secrets/") for path in secrets)


def test_what_follows_from_another_alert_is_held_back(tmp_path: Path) -> None:
    posted = [
        ("TaskyardDatabaseDown", "page", {"namespace": "a", "job": "api"}),
        ("TaskyardOutboxStuck", "page", {"namespace": "a"}),
        ("TaskyardOutboxStuck", "page", {"namespace": "b"}),
        ("TaskyardWorkerCrashLoop", "page", {"namespace": "a", "instance": "one"}),
        ("TaskyardNoWorkerForQueue", "page", {"queue": "default"}),
        ("TaskyardOldestTaskWaiting", "page", {"queue": "default"}),
        ("TaskyardOldestTaskWaiting", "page", {"queue": "mail"}),
        ("TaskyardTaskErrorBudgetBurn", "page", {"namespace": "c"}),
        ("TaskyardTaskErrorBudgetBurn", "ticket", {"namespace": "c"}),
        # The API alone cannot reach PostgreSQL: a type that fails is another fault.
        ("TaskyardTaskTypeAlwaysFails", "ticket", {"namespace": "a", "task": "email.send"}),
        # Of two services each lost a process; of one it was the last.
        ("TaskyardApiDown", "page", {"namespace": "d"}),
        ("TaskyardTargetDown", "ticket", {"namespace": "d", "job": "api"}),
        ("TaskyardTargetDown", "ticket", {"namespace": "d", "job": "worker"}),
        ("TaskyardTargetDown", "ticket", {"namespace": "e", "job": "api"}),
    ]
    with alertmanager(tmp_path, ALERTMANAGER) as address:
        alerts = [{"labels": {"alertname": name, "severity": how, **more}} for name, how, more in posted]
        httpx.post(f"http://{address}/api/v2/alerts", json=alerts, timeout=10.0).raise_for_status()

        def seen() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = httpx.get(f"http://{address}/api/v2/alerts", timeout=10.0).json()
            return found

        wait_for(lambda: all(alert["status"]["state"] != "unprocessed" for alert in seen()), 90, "all to be routed")
        held = [alert["labels"] for alert in seen() if alert["status"]["inhibitedBy"]]
    assert sorted((labels["alertname"], labels.get("namespace"), labels.get("job")) for labels in held) == [
        ("TaskyardOldestTaskWaiting", None, None),
        ("TaskyardOutboxStuck", "a", None),
        ("TaskyardTargetDown", "d", "api"),
        ("TaskyardTaskErrorBudgetBurn", "c", None),
    ]
