"""A real Prometheus and Alertmanager, those of Debian, for tests."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .fleet import answers, free_port, wait_for

STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs, at `url`."""

    url: str

    def query(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query: each with `metric` and `value`. Raises AssertionError where it is wrong."""
        answer: Any = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10.0).json()
        assert answer["status"] == "success", (query, answer)
        found = answer["data"]["result"]
        return found if isinstance(found[0] if found else {}, dict) else [{"metric": {}, "value": found}]

    def value(self, query: str) -> float | None:
        """The first value, or None where there is none."""
        found = self.query(query)
        return float(found[0]["value"][1]) if found else None

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing: each with `labels`, `annotations`, `state` and `activeAt`."""
        answer: Any = httpx.get(f"{self.url}/api/v1/alerts", timeout=10.0).json()
        return list(answer["data"]["alerts"])


def static_jobs(targets: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Scrape configurations of addresses (`host:port`) by job."""
    return [{"job_name": name, "static_configs": [{"targets": list(addresses)}]} for name, addresses in targets.items()]


@contextmanager
def prometheus(
    directory: Path,
    jobs: Sequence[Mapping[str, Any]],
    *,
    every: str = "1s",
    rules: Sequence[Path] = (),
    alertmanager: str | None = None,
) -> Iterator[Prometheus]:
    """Scrapes `jobs`, and evaluates `rules`, every `every`; `alertmanager` is `host:port`. Its files are in
    `directory`."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": list(jobs),
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    with configured_prometheus(directory, config) as made:
        yield made


@contextmanager
def configured_prometheus(directory: Path, config: Mapping[str, Any]) -> Iterator[Prometheus]:
    """`config` is the whole of its configuration."""
    written = directory / "prometheus.yml"
    written.write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        "prometheus", f"--config.file={written}", f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with _running(command, directory / "prometheus.log", f"{url}/-/ready", "Prometheus"):
        yield Prometheus(url)


@contextmanager
def alertmanager(directory: Path, config: Path) -> Iterator[str]:
    """Yields its address, `host:port`."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address={address}", "--cluster.listen-address=",
    ]  # fmt: skip
    with _running(command, directory / "alertmanager.log", f"http://{address}/-/ready", "Alertmanager"):
        yield address


@contextmanager
def _running(command: Sequence[str], log: Path, ready: str, name: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: answers(ready), 30, f"{name}, which writes {log}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
