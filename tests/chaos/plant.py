"""What chaos comes upon: servers behind proxies, and services that are started again when they end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.fleet import Fleet
from tests.support.proxy import Proxy
from tests.support.task_role import prepare

QUEUES = "default"
PROCESSES, THREADS = 2, 4
LEASE_SECONDS = 4.0  # of a worker; a leader's is shorter
ROLES = ("api", "scheduler-1", "scheduler-2", "worker-1", "worker-2")


class Plant:
    """One API, two schedulers, two workers. What dies is started again, as any container would be; what was stopped
    goes on when somebody lets it."""

    def __init__(self, home: Path, postgres: Postgres, valkey: Valkey, storage: Path) -> None:
        self.home = home
        self.postgres = postgres
        self.valkey = valkey
        self.storage = storage
        self.fleet = Fleet(home, postgres.url(), valkey.url)
        self.to_postgres, self.to_redis = (
            Proxy((address.host or "", address.port or 0)) for address in map(sa.make_url, (postgres.url(), valkey.url))
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.starts = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    def __enter__(self) -> Self:
        self.to_postgres.__enter__()
        self.to_redis.__enter__()
        self.fleet.environment |= {
            "TASKYARD_DATABASE_URL": self.to_postgres.through(self.postgres.url()),
            "TASKYARD_TASK_DATABASE_URL": self.to_postgres.through(prepare(self.postgres.url())),
            "TASKYARD_REDIS_URL": self.to_redis.through(self.valkey.url),
            "TASKYARD_STORAGE_DIR": str(self.storage),
            "TASKYARD_TEMP_DIR": str(self.home / "temp"),
            "TASKYARD_TASK_MODULES": "tests.support.effects,tests.chaos.tasks",
            "TASKYARD_CANCEL_GRACE_SECONDS": "2",
            "TASKYARD_WORKER_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
            "TASKYARD_LOG_LEVEL": "warning",
        }
        self.processes["api"] = self.fleet.start_api()
        for role in ROLES[1:]:
            self._start(role)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._keeper.join()
        self.fleet.stop()
        self.to_redis.__exit__()
        self.to_postgres.__exit__()

    def pid(self, role: str) -> int:
        with self._lock:
            return self.processes[role].pid

    def signal(self, role: str, number: signal.Signals) -> None:
        with self._lock, suppress(ProcessLookupError):
            self.processes[role].send_signal(number)

    def every_process(self) -> list[int]:
        """All pids, children too."""
        with self._lock:
            roots = [process.pid for process in self.processes.values()]
        return [pid for root in roots for pid in (root, *offspring(root))]

    def _keep(self) -> None:
        while not self._ended.wait(0.1):
            for role in ROLES:
                with self._lock:
                    if self.processes[role].poll() is not None:
                        self._start(role)

    def _start(self, role: str) -> None:
        self.starts += 1
        kind = role.partition("-")[0]
        alive = {"TASKYARD_HEALTH_FILE": str(self.home / f"{role}.alive")}
        start: dict[str, Callable[[], subprocess.Popen[bytes]]] = {
            "api": partial(self.fleet.start, "taskyard-api", "serve"),
            "scheduler": partial(self.fleet.start, "taskyard-scheduler", "run", **alive),
            "worker": partial(
                self.fleet.start, "taskyard-worker", "run", "--queues", QUEUES, "--processes", str(PROCESSES),
                "--threads", str(THREADS), **alive,
            ),
        }  # fmt: skip
        self.processes[role] = start[kind]()


def offspring(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid: int, number: signal.Signals) -> bool:
    """False where it was gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
