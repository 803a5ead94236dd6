"""Celery, Huey and the stack that is commonly built by hand, each as it is fastest with tasks that do nothing: Huey
with as many threads as the worker beside it has in all, Celery with as many processes.

Their programs stand in `peer_programs/` and run in an environment of their own, against databases of their own of the
same servers. A peer's tasks wait before its worker starts; its rate runs from the first completion seen to the last.
"""

from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import redis
import uvloop

from benchmarks.checkout import PROCESSES, THREADS, Stack
from benchmarks.load import post, run
from benchmarks.processes import running
from tests.support.fleet import answers, free_port, wait_for

PROGRAMS = Path(__file__).parent / "peer_programs"
_PATIENCE_SECONDS = 180


@dataclass
class Peer(ABC):
    """`python` is that of the peers' environment."""

    stack: Stack
    python: Path

    name: ClassVar[str]
    title: ClassVar[str]
    # Of a round; fewer where they take longer.
    tasks: ClassVar[int]
    # Of our rate to its.
    bar: ClassVar[float]
    _database: ClassVar[int]
    _command: ClassVar[Sequence[str]]

    @property
    def figure(self) -> str:
        """Its name among the figures of the rounds."""
        return f"completions_{self.name}"

    def completions(self, count: int) -> float:
        """Tasks a second."""
        with self.stack.valkey.client(self._database) as client:
            client.flushdb()
            self._submit(count)
            with running(
                [str(self.python), "-m", *self._command],
                env=self._env(),
                ready=lambda: self._left(client, count) < count,
                log=self._log,
            ):
                left, began = self._left(client, count), time.perf_counter()
                wait_for(lambda: not self._left(client, count), _PATIENCE_SECONDS, f"{self.title} to finish", every=0.1)
                return left / (time.perf_counter() - began)

    @abstractmethod
    def _left(self, client: redis.Redis, count: int) -> int:
        """How many of the tasks have not completed."""

    def _submit(self, count: int) -> None:
        self._run(f"{self._program}.py", str(count))

    def _run(self, *arguments: str) -> None:
        with self._log.open("ab") as log:
            command = [str(self.python), *arguments]
            subprocess.run(command, env=self._env(), cwd=PROGRAMS, stdout=log, stderr=log, check=True, timeout=120)

    @property
    def _program(self) -> str:
        return f"{self.name}_noop"

    @property
    def _log(self) -> Path:
        return self.stack.home / f"{self.name}.log"

    def _env(self) -> dict[str, str]:
        url = self.stack.valkey.database_url(self._database)
        return {**self.stack.env, "BENCH_REDIS_URL": url, "PYTHONPATH": str(PROGRAMS)}


def _celery(app: str) -> tuple[str, ...]:
    return (
        "celery",
        "-A",
        app,
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        str(PROCESSES),
        "--loglevel",
        "warning",
    )


def _left_of_celery(client: redis.Redis) -> int:
    waiting: Any = client.llen("celery")
    unacknowledged: Any = client.hlen("unacked")
    return int(waiting + unacknowledged)


class Huey(Peer):
    name, title, tasks, bar, _database = "huey", "Huey", 10_000, 1.0, 5
    _command = ("huey.bin.huey_consumer", "huey_noop.huey", "-k", "thread", "-w", str(PROCESSES * THREADS), "-q")

    def _left(self, client: redis.Redis, count: int) -> int:
        results: Any = client.hlen("huey.results.bench")
        return count - int(results)


class Celery(Peer):
    name, title, tasks, bar, _database = "celery", "Celery", 5_000, 6.0, 6
    _command = _celery("celery_noop")

    def _left(self, client: redis.Redis, count: int) -> int:
        return _left_of_celery(client)


class HandBuilt(Peer):
    name, title, tasks, bar, _database = "handbuilt", "FastAPI + Celery + a PostgreSQL record", 1_000, 20.0, 7
    _command = _celery("handbuilt.worker")

    def _submit(self, count: int) -> None:
        """Over HTTP, as its callers do."""
        with suppress(psycopg.errors.DuplicateDatabase):
            self.stack.postgres.create_database(self.name)
        self._run("handbuilt.py")
        port = free_port()
        command = [str(self.python), "-m", "uvicorn", "handbuilt:app", "--port", str(port), "--log-level", "warning"]
        ready = f"http://127.0.0.1:{port}/openapi.json"
        with running(command, env=self._env(), ready=lambda: answers(ready), log=self._log):
            request = post("/tasks", {"name": "echo", "params": {"value": 1}})
            uvloop.run(run(port, [request] * count))

    def _left(self, client: redis.Redis, count: int) -> int:
        # The record alone: Celery acknowledges a moment later.
        with self.stack.postgres.connect(self.name) as conn:
            row = conn.execute("SELECT count(*) FROM task_record WHERE state <> 'succeeded'").fetchone()
        assert row is not None
        return int(row[0])

    def _env(self) -> dict[str, str]:
        return {**super()._env(), "BENCH_DATABASE_URL": self.stack.postgres.url(self.name)}


def peers(stack: Stack, python: Path) -> list[Peer]:
    return [kind(stack, python) for kind in (Huey, Celery, HandBuilt)]
