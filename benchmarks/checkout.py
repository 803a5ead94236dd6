"""A checkout of this project: its commands, run with its own environment against servers of ours.

The measuring code belongs to the checkout it was started from. What is measured belongs to `Checkout.path`, by the
commands of the `.venv` that `make install` made there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from cryptography.fernet import Fernet

from benchmarks.load import KEY, SINGLE, run
from benchmarks.planning import OURS
from benchmarks.processes import running
from taskyard_dev.servers import Postgres, Valkey, servers
from tests.support.fleet import answers, free_port, wait_for

PROCESSES, THREADS = 2, 8


@dataclass(frozen=True)
class Checkout:
    path: Path

    @classmethod
    def at(cls, path: Path) -> Checkout:
        """Raises ValueError where `path` has no environment, or one that imports another checkout's code."""
        checkout = cls(path.resolve())
        python = checkout.command("python")
        if not Path(python).exists():
            raise ValueError(f"{path} has no .venv: run `make install` there")
        imported = subprocess.run(
            [python, "-P", "-c", "import taskyard; print(taskyard.__path__[0])"],
            env=_inherited(), cwd="/", check=True, capture_output=True, text=True, timeout=60,
        ).stdout.strip()  # fmt: skip
        if not Path(imported).resolve().is_relative_to(checkout.path):
            raise ValueError(f"{python} imports {imported}")
        return checkout

    @property
    def commit(self) -> str:
        """The short hash, with a `+` where files differ from it; empty outside of git."""
        git = ["git", "-C", str(self.path), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=False, timeout=30).stdout.strip()

    def command(self, name: str) -> str:
        return str(self.path / ".venv" / "bin" / name)

    @contextmanager
    def stack(self, home: Path) -> Iterator[Stack]:
        """New servers, migrated by this checkout. No service is started."""
        home.mkdir(mode=0o711)  # PostgreSQL may run as another user
        with servers(home / "servers", port=0) as (postgres, valkey), postgres.connect() as conn:
            env = {
                **_inherited(),
                "TASKYARD_DATABASE_URL": postgres.url(),
                "TASKYARD_REDIS_URL": valkey.url,
                "TASKYARD_DIAGNOSTICS": "1",
                "TASKYARD_LOG_LEVEL": "warning",
                "TASKYARD_METRICS_PORT": "0",
                "TASKYARD_API_PORT": str(free_port()),
                "TASKYARD_BOOTSTRAP_KEY": KEY,
                "TASKYARD_SECRET_KEYS": Fernet.generate_key().decode(),
                "TASKYARD_STORAGE_DIR": str(home / "storage"),
                "TASKYARD_HEALTH_FILE": str(home / "alive"),
            }
            for arguments in (["migrate"], ["keys", "bootstrap"]):
                subprocess.run(
                    [self.command("taskyard-api"), *arguments],
                    env=env, cwd=home, check=True, stdout=subprocess.DEVNULL, timeout=60,
                )  # fmt: skip
            yield Stack(self, home, env, postgres, valkey, conn)


@dataclass(frozen=True)
class Stack:
    """The servers of one checkout, and what its services read."""

    checkout: Checkout
    home: Path
    env: dict[str, str]
    postgres: Postgres
    valkey: Valkey
    conn: psycopg.Connection

    def api(self, *program: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """The API, or another program that serves it."""
        ready = f"http://127.0.0.1:{self.env['TASKYARD_API_PORT']}/health/ready"
        command = [*(program or (self.checkout.command("taskyard-api"),)), "serve"]
        return running(command, env=self.env, ready=lambda: answers(ready), log=self.home / "api.log")

    def worker(
        self, *, processes: int = PROCESSES, more: Mapping[str, str] | None = None
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A worker that has registered; its children may still start. `more`: of its environment."""
        live = "SELECT count(*) FROM worker WHERE stopped_at IS NULL AND lost_at IS NULL"
        command = [self.checkout.command("taskyard-worker"), "run", "--queues", "default", "--max-tasks-per-child", "0"]
        command += ["--processes", str(processes), "--threads", str(THREADS)]
        env = {**self.env, **(more or {})}
        return running(command, env=env, ready=lambda: self.query(live) == 1, log=self.home / "worker.log")

    def scheduler(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        leads = "SELECT count(*) FROM leader WHERE expires_at > now()"
        command = [self.checkout.command("taskyard-scheduler"), "run"]
        return running(command, env=self.env, ready=lambda: self.query(leads) == 1, log=self.home / "scheduler.log")

    @contextmanager
    def seemingly_served(self) -> Iterator[None]:
        """Around submits: as if a worker lived, which takes nothing, because callers hear where none is alive."""
        self.conn.execute("UPDATE worker SET stopped_at = NULL, beat_at = now() + interval '1 hour'")
        try:
            yield
        finally:
            self.conn.execute("UPDATE worker SET stopped_at = now()")

    def wait_until_all_are_published(self) -> None:
        """And their outbox rows are gone."""
        outbox = "SELECT EXISTS (SELECT FROM outbox)"
        wait_for(lambda: not self.query(outbox), 15, "an empty outbox", every=0.1)

    def wait_until_task_types_are_known(self) -> None:
        """Nothing is accepted before a worker has registered them."""
        with self.worker():
            wait_for(lambda: self.accepts(SINGLE), 30, "the task types to be known", every=0.1)
            self.wait_until_all_are_recorded()

    def submit(self, requests: Sequence[bytes], count: int) -> float:
        """So many of them in turn, over HTTP, 32 connections, every task durable before its 202. Returns requests a
        second."""
        return self.send(list(islice(cycle(requests), count)), b"202")

    def send(self, requests: Sequence[bytes], status: bytes) -> float:
        """Over HTTP, 32 connections. Returns requests a second; raises RuntimeError for another status."""
        return uvloop.run(run(int(self.env["TASKYARD_API_PORT"]), requests, status))

    def accepts(self, requests: Sequence[bytes]) -> bool:
        try:
            self.submit(requests, 1)
        except RuntimeError:
            return False
        return True

    def unfinished(self) -> int:
        return int(self.query("SELECT count(*) FROM task WHERE finished_at IS NULL"))

    def wait_until_all_are_recorded(self) -> None:
        unfinished = "SELECT EXISTS (SELECT FROM task WHERE finished_at IS NULL)"
        wait_for(lambda: not self.query(unfinished), 120, "all tasks to be recorded", every=0.05)

    def query(self, statement: str, *values: object) -> Any:
        """One value."""
        row = self.conn.execute(f"{statement} {OURS}".encode(), values).fetchone()
        assert row is not None
        return row[0]


def _inherited() -> dict[str, str]:
    """The environment without the settings and import paths of this process."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("TASKYARD_", "PYTHON", "VIRTUAL_ENV"))}
