"""The services of a development stack, with their settings and ports."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet

from taskyard_dev import home, ports
from taskyard_dev.console import Console
from taskyard_dev.ports import Hold
from taskyard_dev.service import Service, installed

GENERAL_QUEUES = "high_priority,default,low_priority"
# These run long in C code: with one thread in a child, ending the child ends no other task.
HEAVY_QUEUES = "geo_processing,selection"
STOPS_WITHIN = timedelta(seconds=15)
# The default of TASKYARD_DRAIN_SECONDS.
DRAIN = timedelta(seconds=30)

# Each service gets only the secrets that it needs; these go to one service or none.
PRIVATE = frozenset(
    {
        *("TASKYARD_API_KEY", "TASKYARD_BOOTSTRAP_KEY", "TASKYARD_SMTP_PASSWORD", "TASKYARD_TASK_DATABASE_URL"),
        *("TASKYARD_CONSOLE_API_KEY", "TASKYARD_CONSOLE_SECRETS", "TASKYARD_CONSOLE_PORT"),
    }
)


@dataclass(frozen=True)
class Plan:
    """What to start, and where its files are."""

    data_dir: Path
    workers: int = 1
    schedulers: int = 1
    api_port: int | None = None
    has_console: bool = True
    log_level: str | None = None
    """The level of the services; None: the environment's."""

    @property
    def dev_env(self) -> Path:
        """What every `taskyard*` command reads where nothing else is set."""
        return self.data_dir / "dev.env"

    @property
    def services_env(self) -> Path:
        """The settings of the services, for commands that read dev.env (`taskyard.environment`)."""
        return self.data_dir / "services.env"

    @property
    def mails(self) -> Path:
        return self.data_dir / "mails"

    @property
    def worker_names(self) -> list[str]:
        return _numbered("worker", self.workers)

    @property
    def scheduler_names(self) -> list[str]:
        return _numbered("scheduler", self.schedulers)

    @property
    def names(self) -> list[str]:
        """All that writes to the terminal."""
        web = ["console"] if self.has_console else []
        return ["postgres", "valkey", "api", *web, *self.scheduler_names, *self.worker_names, "worker-geo"]


@dataclass
class Ports:
    """Gives out free ports and holds them until it is closed: also while a service is started again."""

    _holds: list[Hold] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for hold in self._holds:
            hold.close()

    def one_of(self, *usual: int) -> int:
        return self._keep(ports.hold_first(*usual))

    def exactly(self, port: int) -> int:
        """Raises `PortTaken`."""
        return self._keep(Hold(port))

    def _keep(self, hold: Hold) -> int:
        self._holds.append(hold)
        return hold.port


def api_port(plan: Plan, before: Mapping[str, str], free: Ports) -> int:
    """The port asked for, or that of the previous run, or the first free one from 8000 on."""
    if plan.api_port:
        return free.exactly(plan.api_port)
    last = before.get("TASKYARD_URL", "").rpartition(":")[2]
    return free.one_of(*([int(last)] if last.isdecimal() else []), *range(8000, 8010))


def environment(plan: Plan, database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of all services: the stack's settings, and the user's other ones."""
    inherited = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    # Defaults, which the user's environment overrides: people read these logs.
    choices = {"TASKYARD_LOG_FORMAT": "console", "TASKYARD_TEMP_DIR": str(plan.data_dir / "temp")}
    asked = {"TASKYARD_LOG_LEVEL": plan.log_level} if plan.log_level else {}
    return {
        **choices,
        **inherited,
        **asked,
        "TASKYARD_DATABASE_URL": database_url,
        "TASKYARD_REDIS_URL": redis_url,
        "TASKYARD_DIAGNOSTICS": "1",
        "TASKYARD_DATA_DIR": str(plan.data_dir),
        "TASKYARD_STORAGE_DIR": str(plan.data_dir / "storage"),
        # Kept, because the secret parameters of earlier tasks can't be read without it.
        "TASKYARD_SECRET_KEYS": home.secret(plan.data_dir / "secret-keys", lambda: Fernet.generate_key().decode()),
        "PYTHONUNBUFFERED": "1",
    }


def shared_with_commands(common: Mapping[str, str]) -> dict[str, str]:
    """The settings that commands need as well, to see the same task types, files and secrets."""
    return {name: common[name] for name in ("TASKYARD_DIAGNOSTICS", "TASKYARD_STORAGE_DIR", "TASKYARD_SECRET_KEYS")}


def drain_time() -> timedelta:
    """How long workers may take to finish. A wrong value is left to the worker, which refuses it."""
    try:
        return timedelta(seconds=float(os.environ["TASKYARD_DRAIN_SECONDS"]))
    except (KeyError, ValueError, OverflowError):
        return DRAIN


def mail_environment(sink_port: int) -> dict[str, str]:
    """The mail server of the workers: the sink, or the server that the user names."""
    named = {name: value for name, value in os.environ.items() if name.startswith("TASKYARD_SMTP_") and value}
    if "TASKYARD_SMTP_HOST" in named:
        return named
    sink = {"HOST": ports.LOOPBACK, "PORT": str(sink_port), "SECURITY": "none", "USER": "", "PASSWORD": ""}
    return {**named, **{f"TASKYARD_SMTP_{name}": value for name, value in sink.items()}}


def mails_of(mail: Mapping[str, str], plan: Plan) -> str:
    """Where mails go, in words; `mail` is the `mail_environment`."""
    if not os.environ.get("TASKYARD_SMTP_HOST"):
        return str(plan.mails)
    port = mail.get("TASKYARD_SMTP_PORT", "587")
    return f"really sent, by {mail['TASKYARD_SMTP_HOST']}:{port} (TASKYARD_SMTP_HOST is set)"


def services(
    plan: Plan, common: Mapping[str, str], of_workers: Mapping[str, str], free: Ports, *, console: Console, api: int
) -> list[Service]:
    """The services in the order in which they start. `of_workers`: variables that only workers get. `api`: the
    descriptor of the socket that the API answers on."""

    def make(name: str, metrics: int, program: str, *arguments: str, **more: str) -> Service:
        own = {
            "TASKYARD_METRICS_PORT": str(free.one_of(metrics)),
            "TASKYARD_HEALTH_FILE": str(plan.data_dir / f"{name}.alive"),
        }
        variables = {**common, **own, **more}
        drains = drain_time() if name.startswith("worker") else timedelta()
        command: list[str | Path] = [installed(program), *arguments]
        return Service(name, command, variables, console, stop_within=STOPS_WITHIN + drains)

    made = [make(name, 9110 + number, "taskyard-scheduler", "run") for number, name in enumerate(plan.scheduler_names)]
    made += [
        make(name, 9120 + number, "taskyard-worker", "run", "--queues", GENERAL_QUEUES, **of_workers)
        for number, name in enumerate(plan.worker_names)
    ]
    heavy = ["--queues", HEAVY_QUEUES, "--processes", "1", "--threads", "1"]
    made.append(make("worker-geo", 9140, "taskyard-worker", "run", *heavy, **of_workers))
    made.append(replace(make("api", 9100, "taskyard-api", "serve", "--fd", str(api)), keep_open=[api]))
    return made


def metrics_url(service: Service) -> str:
    return f"http://{ports.LOOPBACK}:{service.environment['TASKYARD_METRICS_PORT']}/metrics"


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
