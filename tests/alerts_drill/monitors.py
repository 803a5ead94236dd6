"""The Prometheus and the Alertmanager of a stack, as deploy/monitoring configures them, and a receiver beside them.

Only addresses differ: the targets are those of the stack, and each of Alertmanager's receivers has a webhook more. And
it is always working hours, so that a drill at night is told of tickets, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.monitoring import Prometheus, alertmanager, configured_prometheus
from tests.support.receiver import Receiver, receiver

from .history import write_history
from .stack import JOBS

SHIPPED = Path(__file__).parents[2] / "deploy" / "monitoring"


@dataclass(frozen=True, slots=True)
class Monitors:
    prometheus: Prometheus
    alertmanager_url: str
    notified: Receiver

    def inhibited(self) -> set[str]:
        """Alerts that another one keeps from being told."""
        every: Any = httpx.get(f"{self.alertmanager_url}/api/v2/alerts", timeout=10.0).json()
        return {name_of(alert["labels"]) for alert in every if alert["status"]["inhibitedBy"]}

    def told(self) -> set[str]:
        """Alerts that operators were told of."""
        messages = [message.json for message in list(self.notified.got)]
        return {name_of(one["labels"]) for each in messages for one in each["alerts"] if one["status"] == "firing"}


def name_of(labels: Mapping[str, str]) -> str:
    """An alert by what an operator calls it: those of several queues are one, and a page is not a ticket."""
    return f"{labels['alertname']} ({labels.get('severity', '?')})"


@contextmanager
def monitors(home: Path, ports: Mapping[str, int]) -> Iterator[Monitors]:
    """`ports`: where the roles of a stack serve their metrics."""
    write_history(home)
    with receiver() as notified:
        config = home / "alertmanager.yml"
        config.write_text(json.dumps(_with_webhook(_shipped("alertmanager.yml"), notified.url)))  # JSON is YAML
        with (
            alertmanager(home, config) as address,
            configured_prometheus(home, _with_targets(_shipped("prometheus.yml"), ports, address)) as prometheus,
        ):
            yield Monitors(prometheus, f"http://{address}", notified)


def _with_webhook(config: dict[str, Any], url: str) -> dict[str, Any]:
    for each in config["receivers"]:
        each.setdefault("webhook_configs", []).append({"url": f"{url}/{each['name']}", "send_resolved": True})
    for interval in config.get("time_intervals", []):
        interval["time_intervals"] = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
    return config


def _with_targets(config: dict[str, Any], ports: Mapping[str, int], alertmanager: str) -> dict[str, Any]:
    config["rule_files"] = [str(SHIPPED / "rules" / "*.yml")]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    ours = [job for job in config["scrape_configs"] if job["job_name"] in JOBS.values()]
    for job in ours:
        targets = [f"127.0.0.1:{port}" for role, port in ports.items() if JOBS[role] == job["job_name"]]
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": targets}]
    return {**config, "scrape_configs": ours}


def _shipped(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((SHIPPED / name).read_text())
    return read
