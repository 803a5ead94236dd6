"""What one round measures: both systems, one after the other, on the same servers."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import redis
import sqlalchemy as sa

from benchmarks import load
from benchmarks.processes import proportional_bytes, running, wait_for
from taskyard.store import ledger

KEY = "ty_benchmrk_" + "b" * 43
PROCESSES, THREADS = 2, 8
_ONE = {"name": "diagnostics.echo", "params": {"value": 1}}
SINGLE = load.post("/api/v1/tasks", KEY, json.dumps(_ONE).encode())
HUNDRED = load.post("/api/v1/tasks/batch", KEY, json.dumps({"tasks": [_ONE] * 100}).encode())
_SETTLE_SECONDS = 2.0


@dataclass
class Rounds:
    """Where things are, and every figure of every round. Rates are per second, times in seconds."""

    home: Path
    env: dict[str, str]
    port: int
    scale: float = 1.0
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.engine = ledger.make_engine(self.env["TASKYARD_DATABASE_URL"], pool_size=2)
        self.redis = redis.Redis.from_url(self.env["TASKYARD_REDIS_URL"])

    def round(self) -> None:
        """Everything once. The order within a pair changes by chance, so that drift favours nobody."""
        pairs = [
            (self.bare_send, self.submits),
            (self.bare_completions, self.completions),
            (self.bare_latency, self.latency),
        ]
        for pair in pairs:
            for step in random.sample(pair, 2):
                step()

    def bare_send(self) -> None:
        from benchmarks.bare import echo

        count = self._count(5_000)
        started = time.perf_counter()
        for _ in range(count):
            echo.send(1)
        self.figures["send"].append(count / (time.perf_counter() - started))

    def submits(self) -> None:
        """Over HTTP, 32 connections, every task durable before its 202."""
        self.figures["submits_1"].append(load.run(self.port, [SINGLE], self._count(6_000)))
        self.figures["submits_100"].append(load.run(self.port, [HUNDRED], self._count(200)) * 100)

    def bare_completions(self) -> None:
        from benchmarks.bare import echo

        messages = "bare:default.msgs"
        total = self._count(20_000)
        while int(self._redis_length(messages)) < total:
            echo.send(1)
        # From the first completion seen to the last: its start-up is not counted, as below.
        with self._bare_worker(ready=lambda: self._redis_length(messages) < total):
            left, started = self._redis_length(messages), time.perf_counter()
            wait_for(lambda: not self._redis_length(messages), 120, "bare Dramatiq to finish")
            self.figures["bare_completions"].append(left / (time.perf_counter() - started))

    def completions(self) -> None:
        """What the submits before left waiting, or as many again."""
        total = self._count(20_000)
        missing = total - int(self._query("SELECT count(*) FROM task WHERE finished_at IS NULL"))
        if missing > 0:
            load.run(self.port, [HUNDRED], -(-missing // 100))
        mark = self._query("SELECT clock_timestamp()")
        unfinished = "SELECT EXISTS (SELECT FROM task WHERE finished_at IS NULL)"
        with self._worker():
            wait_for(lambda: not self._query(unfinished), 120, "Taskyard to finish", every=0.05)
        rate = self._query(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at))"
            " FROM task WHERE finished_at > :mark AND state = 'succeeded'",
            mark=mark,
        )
        self.figures["completions"].append(float(rate))

    def bare_latency(self) -> None:
        from benchmarks.bare import LATENCIES, stamp

        self.redis.delete(LATENCIES)
        with self._bare_worker(ready=lambda: True) as process:
            time.sleep(_SETTLE_SECONDS)
            self.figures["bare_memory"].append(proportional_bytes(process.pid))
            for _ in range(self._count(25)):
                seen = self._redis_list(LATENCIES)
                stamp.send(time.time())
                wait_for(partial(self._redis_list, LATENCIES, above=seen), 10, "a bare task")
                time.sleep(random.uniform(0.1, 0.4))
        found: Any = self.redis.lrange(LATENCIES, 0, -1)
        self.figures["bare_latency"] += [float(value) for value in found]

    def latency(self) -> None:
        """From the beginning of the transaction that inserts a task to the start of its function, by PostgreSQL's
        clock, on an idle worker."""
        with self._worker() as process:
            time.sleep(_SETTLE_SECONDS)
            self.figures["memory"].append(proportional_bytes(process.pid))
            mark = self._query("SELECT clock_timestamp()")
            for _ in range(self._count(25)):
                load.run(self.port, [SINGLE], 1)
                time.sleep(random.uniform(0.1, 0.4))
        waits = sa.text("SELECT extract(epoch FROM started_at - created_at) FROM task WHERE created_at > :mark")
        rows = ledger.run(self.engine, lambda conn: conn.execute(waits, {"mark": mark}).scalars().all())
        self.figures["latency"] += [float(seconds) for seconds in rows]

    def _bare_worker(self, *, ready: Any) -> AbstractContextManager[Popen[bytes]]:
        return running(
            "dramatiq", "benchmarks.bare", "-p", str(PROCESSES), "-t", str(THREADS),
            env=self.env, ready=ready, log=self.home / "dramatiq.log",
        )  # fmt: skip

    def _worker(self) -> AbstractContextManager[Popen[bytes]]:
        live = "SELECT count(*) FROM worker WHERE stopped_at IS NULL AND lost_at IS NULL"
        return running(
            "taskyard-worker", "run", "--queues", "default", "--max-tasks-per-child", "0",
            "--processes", str(PROCESSES), "--threads", str(THREADS),
            env=self.env, ready=lambda: self._query(live) == 1, log=self.home / "worker.log",
        )  # fmt: skip

    def _count(self, full: int) -> int:
        return max(1, int(full * self.scale))

    def _query(self, statement: str, **params: Any) -> Any:
        return ledger.run(self.engine, lambda conn: conn.execute(sa.text(statement), params).scalar())

    def _redis_length(self, key: str) -> int:
        return int(self.redis.hlen(key))  # type: ignore[arg-type]

    def _redis_list(self, key: str, *, above: int = -1) -> int:
        """The length of a list; 0 where it is not above `above`."""
        length = int(self.redis.llen(key))  # type: ignore[arg-type]
        return length if length > above else 0
