"""A stack as deploy/monitoring expects it, in processes: two workers, one for heavy work, two schedulers, an API."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from taskyard.environment import env_file
from taskyard.store import migrate
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey, servers
from tests.support.fleet import KEY, Fleet, free_port, repeating, wait_for
from tests.support.proxy import Proxy
from tests.support.task_role import prepare

from .memory_group import MemoryGroup, memory_group
from .tasks import LIBRARY, NEEDS_VARIABLE, PASSWORD

ORDINARY, HEAVY = "high_priority,default,low_priority", "geo_processing,selection"
# The job of each role in deploy/monitoring/prometheus.yml.
JOBS = {
    "api": "api",
    "worker-1": "worker",
    "worker-2": "worker",
    "worker-geo": "worker-geo",
    "scheduler-1": "scheduler",
    "scheduler-2": "scheduler",
}
WORKER_MEGABYTES = 512
_RESTART_SECONDS = 5.0
_one_migrates = threading.Lock()


@dataclass
class Stack:
    """Its services reach PostgreSQL through a proxy. `memory` limits the heavy worker, where the machine allows it."""

    home: Path
    postgres: Postgres
    valkey: Valkey
    fleet: Fleet
    to_postgres: Proxy
    memory: MemoryGroup
    ports: Mapping[str, int] = field(default_factory=lambda: {role: free_port() for role in JOBS})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @contextmanager
    def without(self, need: str) -> Iterator[None]:
        """One of the files that task types need is away."""
        file = self.home / "needs" / need
        file.unlink()
        yield
        file.touch()

    def start(self, role: str) -> None:
        """Starts it, again where it has ended; returns before it is ready."""
        own = {
            "TASKYARD_METRICS_PORT": str(self.ports[role]),
            "TASKYARD_HEALTH_FILE": str(self.home / f"{role}.alive"),
        }
        one = ("--processes", "1")  # several stacks share a machine
        if role == "worker-geo":
            few = (*one, "--threads", "1")
            own["TASKYARD_TASK_MODULES"] = "tests.alerts_drill.tasks,tests.alerts_drill.heavy_tasks"
            started = self.fleet.start("taskyard-worker", "run", "--name", role, "--queues", HEAVY, *few, **own)
            self.memory.add(started.pid)
        elif role.startswith("worker"):
            started = self.fleet.start("taskyard-worker", "run", "--name", role, "--queues", ORDINARY, *one, **own)
        elif role.startswith("scheduler"):
            started = self.fleet.start("taskyard-scheduler", "run", **own)
        else:
            started = self.fleet.start("taskyard-api", "serve", **own)
        self.processes[role] = started

    def stop(self, role: str) -> None:
        """As when it is scaled to nothing: nobody starts it again."""
        process = self.processes.pop(role)
        process.terminate()
        process.wait(60)

    @contextmanager
    def kept_running(self) -> Iterator[None]:
        """What ends without having been stopped is started again, as a container would be."""

        def look() -> None:
            for role, process in list(self.processes.items()):
                if process.poll() is not None:
                    self.start(role)

        with repeating(look, every=_RESTART_SECONDS):
            yield

    def reinforce(self, queues: str, *, threads: int) -> None:
        """One more worker, to work off what waits. Prometheus does not know of it."""
        more = ("--queues", queues, "--processes", "2", "--threads", str(threads))
        self.fleet.start("taskyard-worker", "run", "--name", "helper", *more, TASKYARD_METRICS_PORT="0")

    def addresses(self) -> str:
        """Variables for the commands of whoever looks at this stack."""
        return env_file(
            {
                "TASKYARD_URL": f"http://127.0.0.1:{self.fleet.port}",
                "TASKYARD_API_KEY": KEY,
                **{n: self.fleet.environment[n] for n in ("TASKYARD_DATABASE_URL", "TASKYARD_REDIS_URL")},
                **{
                    f"TASKYARD_{role.replace('-', '_').upper()}_METRICS_URL": f"http://127.0.0.1:{port}/metrics"
                    for role, port in self.ports.items()
                },
            }
        )


@contextmanager
def stack(home: Path) -> Iterator[Stack]:
    """One that runs, with the heartbeats and leases of production."""
    with (
        servers(home, port=0) as (postgres, valkey),
        Proxy(_address(postgres.url())) as to_postgres,
        memory_group(home.name, WORKER_MEGABYTES) as memory,
    ):
        with _one_migrates:  # Alembic keeps what it does in globals
            migrate.upgrade(postgres.url())
        needs = home / "needs"
        needs.mkdir()
        for need in (PASSWORD, LIBRARY):
            (needs / need).touch()
        fleet = Fleet(home, postgres.url(), valkey.url)
        for hurried in ("TASKYARD_HEARTBEAT_SECONDS", "TASKYARD_WORKER_LEASE_SECONDS"):
            del fleet.environment[hurried]
        fleet.environment |= {
            "TASKYARD_DATABASE_URL": to_postgres.through(postgres.url()),
            "TASKYARD_TASK_DATABASE_URL": to_postgres.through(prepare(postgres.url())),
            "TASKYARD_TASK_MODULES": "tests.alerts_drill.tasks",
            NEEDS_VARIABLE: str(needs),
            "TASKYARD_KITS": "diagnostics",
        }
        made = Stack(home, postgres, valkey, fleet, to_postgres, memory)
        try:
            fleet.environment["TASKYARD_METRICS_PORT"] = str(made.ports["api"])
            made.processes["api"] = fleet.start_api()
            for role in JOBS:
                if role != "api":
                    made.start(role)
            wait_for(lambda: fleet.workers_with_types() == 3, 60, "three workers with their task types")
            with made.kept_running():
                yield made
        finally:
            fleet.stop()


def _address(url: str) -> tuple[str, int]:
    parts = sa.make_url(url)
    return parts.host or "", parts.port or 0
