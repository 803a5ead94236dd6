"""What the production overlay, HAProxy's example and the profile `monitoring` promise, without a Docker engine."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskyard.settings import Settings
from taskyard_api import server

ROOT = Path(__file__).parents[2]
BASE_TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
BASE: dict[str, Any] = yaml.safe_load(BASE_TEXT)["services"]
TEXT = (ROOT / "docker-compose.production.yml").read_text("utf-8")
OVERLAY: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = OVERLAY["services"]
ADDED = SERVICES.keys() - BASE.keys()
OURS = sorted(name for name, service in BASE.items() if "build" in service and name != "smtp-sink")
MONITORING = ROOT / "deploy/monitoring"
PROMETHEUS: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text("utf-8"))
GRAFANA = MONITORING / "grafana"


def test_nothing_is_reached_but_through_traefik() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"traefik"}
    assert "ports" not in BASE["api"]
    assert SERVICES["traefik"]["networks"] == ["front", "docker-api"], "and that reaches the API alone"
    assert SERVICES["api"]["networks"] == ["default", "front"]
    assert OVERLAY["networks"]["docker-api"] == {"internal": True}
    [at_its_network] = [v for v in SERVICES["traefik"]["command"] if v.startswith("--providers.docker.network=")]
    assert at_its_network.partition("=")[2] == OVERLAY["networks"]["front"]["name"]


def test_only_who_comes_through_traefik_may_say_for_whom_it_asks() -> None:
    [network] = OVERLAY["networks"]["front"]["ipam"]["config"]
    assert SERVICES["api"]["environment"]["TASKYARD_TRUSTED_PROXIES"] == network["subnet"]


def test_docker_is_read_through_a_proxy_that_passes_on_reading_calls_only() -> None:
    mounts = {name: str(service.get("volumes", "")) for name, service in {**BASE, **SERVICES}.items()}
    assert {name for name, volumes in mounts.items() if "docker.sock" in volumes} == {"docker-api"}
    assert SERVICES["docker-api"]["environment"] == {"CONTAINERS": "1", "POST": "0"}


@pytest.mark.parametrize("name", sorted(ADDED))
def test_each_service_is_bounded_confined_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["mem_reservation"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert re.search(r":v?\d", service["image"])


@pytest.mark.parametrize("name", OURS)
def test_each_service_runs_as_in_production(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["TASKYARD_APP_ENV"] == "production", "fixed, not a default"
    known = {str(n) for f in Settings.model_fields.values() for n in getattr(f.validation_alias, "choices", ())}
    assert {n for n in environment if not n.startswith(("TASKYARD_SMTP_", "TASKYARD_MAIL_"))} <= known
    # What only the overlay gives has to be settable in the base, or is of the proxy.
    assert environment.keys() - BASE[name]["environment"].keys() <= {
        "TASKYARD_API_STOP_DELAY_SECONDS",
        "TASKYARD_CONSOLE_STOP_DELAY_SECONDS",
        "TASKYARD_CONSOLE_PATH",
        "TASKYARD_CONSOLE_URL",
        "TASKYARD_REDIS_URL",
    }


def test_a_secret_has_to_be_given() -> None:
    """Compose refuses the whole file while one is missing, also where it stands in another service."""
    known = set(re.findall(r"\$\{(\w+):-[^}]*development-only", BASE_TEXT))
    asked_for = set(re.findall(r"\$\{(\w+):\?set \1\}", TEXT))
    # Grafana's, which not everybody has, is refused by its own script.
    assert known - {"GRAFANA_ADMIN_PASSWORD"} <= asked_for
    assert not re.search(r"(PASSWORD|KEY)\w*:?-", TEXT)
    assert "development-only" not in TEXT


def test_mail_is_delivered() -> None:
    assert SERVICES["smtp-sink"] == {"profiles": ["development"]}
    for name in ("worker", "worker-geo"):
        environment = SERVICES[name]["environment"]
        assert environment["TASKYARD_SMTP_HOST"].startswith("${TASKYARD_SMTP_HOST:?")
        assert environment["TASKYARD_SMTP_SECURITY"] == "${TASKYARD_SMTP_SECURITY:-starttls}"


def seconds(text: str) -> int:
    return int(re.fullmatch(r'"?(\d+)s?"?', text)[1])  # type: ignore[index]


def test_a_proxy_has_taken_a_replica_out_before_it_stops() -> None:
    """After the check that fails, at the latest; and Docker waits for delay, requests in flight, and the rest."""
    api = SERVICES["api"]
    delay = seconds(api["environment"]["TASKYARD_API_STOP_DELAY_SECONDS"])
    check = {k.rpartition(".")[2]: v for k, v in api["labels"].items() if ".healthcheck." in k}
    assert check["path"] == "/health/ready"
    assert seconds(check["interval"]) + seconds(check["timeout"]) < delay
    assert seconds(api["stop_grace_period"]) > delay + server.GRACE_SECONDS + 10
    haproxy = (ROOT / "deploy/haproxy/haproxy.cfg").read_text("utf-8")
    smoke = yaml.safe_load((ROOT / "deploy/smoke.compose.yml").read_text("utf-8"))["services"]["api"]
    assert "option httpchk GET /health/ready\n" in haproxy
    [interval, falls] = map(int, re.findall(r"check inter (\d+)s fall (\d+) ", haproxy)[0])
    assert interval * falls < seconds(smoke["environment"]["TASKYARD_API_STOP_DELAY_SECONDS"])


def test_prometheus_scrapes_every_replica_of_every_service_that_has_metrics() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    assert jobs.keys() == {"api", "worker", "worker-geo", "scheduler", "console", "prometheus", "alertmanager"}
    port = Settings.model_fields["metrics_port"].default
    for name in ("api", "worker", "worker-geo", "scheduler", "console"):
        [found] = jobs[name]["dns_sd_configs"]
        assert (found["names"], found["type"], found["port"]) == ([name], "A", port)


@pytest.mark.parametrize(("environment", "code"), [("development", 0), ("production", 2)])
def test_grafana_s_known_password_is_refused_in_production(environment: str, code: int, tmp_path: Path) -> None:
    [script] = BASE["grafana"]["command"]
    given = {"APP_ENV": environment, "GF_SECURITY_ADMIN_PASSWORD": "development-only", "PATH": os.environ["PATH"]}
    ended = grafana(script, given, tmp_path)
    assert ended.returncode == code
    assert len(ended.stderr.splitlines()) == bool(code)
    assert grafana(script, {**given, "GF_SECURITY_ADMIN_PASSWORD": "own"}, tmp_path).stdout == "started\n"


def grafana(script: str, environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    run = directory / "run.sh"
    run.write_text("#!/bin/sh\necho started\n")
    run.chmod(0o755)
    command = [*BASE["grafana"]["entrypoint"], script.replace("$$", "$").replace("/run.sh", str(run))]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=20)


def test_what_is_mounted_is_there() -> None:
    for name in ("prometheus", "alertmanager", "grafana"):
        sources = [volume.split(":")[0] for volume in BASE[name]["volumes"]]
        assert all((ROOT / source).exists() for source in sources if source.startswith("./"))


def test_dashboards_ask_the_data_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    provisioned = {source["type"] for source in sources}
    for path in (GRAFANA / "dashboards").glob("*.json"):
        board = json.loads(path.read_text("utf-8"))
        (asked,) = (variable for variable in board["templating"]["list"] if variable["type"] == "datasource")
        assert asked["query"] in provisioned, path.name
        for panel in board["panels"]:
            if panel["type"] != "row":
                assert panel["datasource"] == {"type": asked["query"], "uid": "${datasource}"}, path.name


@pytest.mark.system
@pytest.mark.parametrize(
    "command",
    ["promtool check config --syntax-only prometheus.yml", "promtool check rules rules/*.yml",
     "amtool check-config alertmanager.yml"],
)  # fmt: skip
def test_prometheus_and_alertmanager_find_no_fault(command: str) -> None:
    assert shutil.which(command.split(maxsplit=1)[0]), "make system-deps installs it"
    shell = ["sh", "-c", command]
    ended = subprocess.run(shell, cwd=MONITORING, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
