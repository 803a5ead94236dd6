"""What one round measures: both systems, one after the other, on the same servers."""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import redis

from benchmarks import flows
from benchmarks.checkout import PROCESSES, THREADS, Stack
from benchmarks.load import HUNDRED, SINGLE
from benchmarks.processes import proportional_bytes, running
from tests.support.fleet import wait_for

_SETTLE_SECONDS = 2.0


@dataclass
class Rounds:
    """Every figure of every round. Rates are per second, times in seconds."""

    stack: Stack
    redis: redis.Redis
    scale: float
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        # benchmarks.bare reads it at import, here and in its worker.
        os.environ["BENCH_REDIS_URL"] = self.stack.valkey.url

    def round(self) -> None:
        """Everything once. The order within a pair changes by chance, so that drift favours nobody."""
        pairs = [
            (self.bare_send, self.submits),
            (self.bare_completions, self.completions),
            (self.bare_latency, self.latency),
            (self.bare_flows, self.flows),
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
        self.figures["submits_1"].append(self.stack.submit(SINGLE, self._count(6_000)))
        self.figures["submits_100"].append(self.stack.submit(HUNDRED, self._count(200)) * 100)

    def bare_completions(self) -> None:
        from benchmarks.bare import echo

        total = self._count(20_000)
        while self._bare_messages() < total:
            echo.send(1)
        # From the first completion seen to the last: its start-up is not counted, as below.
        with self._bare_worker(ready=lambda: self._bare_messages() < total):
            left, started = self._bare_messages(), time.perf_counter()
            wait_for(lambda: not self._bare_messages(), 120, "bare Dramatiq to finish", every=0.01)
            self.figures["bare_completions"].append(left / (time.perf_counter() - started))

    def completions(self) -> None:
        """What the submits before left waiting, or as many again."""
        missing = self._count(20_000) - self.stack.unfinished()
        if missing > 0:
            self.stack.submit(HUNDRED, -(-missing // 100))
        mark = self.stack.query("SELECT clock_timestamp()")
        with self.stack.worker():
            self.stack.wait_until_all_are_recorded()
        rate = self.stack.query(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at))"
            " FROM task WHERE finished_at > %s AND state = 'succeeded'",
            mark,
        )
        self.figures["completions"].append(float(rate))

    def bare_latency(self) -> None:
        from benchmarks.bare import LATENCIES, stamp

        self.redis.delete(LATENCIES)
        with self._bare_worker(ready=lambda: True) as process:
            time.sleep(_SETTLE_SECONDS)
            self.figures["bare_memory"].append(proportional_bytes(process.pid))
            for number in range(1, self._count(25) + 1):
                stamp.send(time.time())
                wait_for(lambda n=number: self.redis.llen(LATENCIES) == n, 10, "a bare task", every=0.01)  # type: ignore[misc]
                time.sleep(random.uniform(0.1, 0.4))
        found: Any = self.redis.lrange(LATENCIES, 0, -1)
        self.figures["bare_latency"] += [float(value) for value in found]

    def latency(self) -> None:
        """From the beginning of the transaction that inserts a task to the start of its function, by PostgreSQL's
        clock, on an idle worker."""
        with self.stack.worker() as process:
            time.sleep(_SETTLE_SECONDS)
            self.figures["memory"].append(proportional_bytes(process.pid))
            mark = self.stack.query("SELECT clock_timestamp()")
            for _ in range(self._count(25)):
                self.stack.submit(SINGLE, 1)
                time.sleep(random.uniform(0.1, 0.4))
        waits = "SELECT extract(epoch FROM started_at - created_at) FROM task WHERE created_at > %s"
        self.figures["latency"] += [float(seconds) for (seconds,) in self.stack.conn.execute(waits, [mark])]

    def bare_flows(self) -> None:
        with self._bare_worker(ready=lambda: True):
            time.sleep(_SETTLE_SECONDS)
            self.figures["bare_fan"].append(flows.bare_fan(self.redis))
            self.figures["bare_link"].append(flows.bare_chain(self.redis) / flows.LINKS)

    def flows(self) -> None:
        with self.stack.worker():
            time.sleep(_SETTLE_SECONDS)
            self.figures["fan"].append(flows.ours(self.stack, flows.fan_fields()))
            self.figures["link"].append(flows.ours(self.stack, flows.chain_fields()) / flows.LINKS)

    def _bare_worker(self, *, ready: Any) -> AbstractContextManager[Popen[bytes]]:
        command = [self.stack.checkout.command("dramatiq"), "benchmarks.bare"]
        command += ["-p", str(PROCESSES), "-t", str(THREADS)]
        imports = {"BENCH_REDIS_URL": self.stack.valkey.url, "PYTHONPATH": str(Path(__file__).parents[1])}
        return running(command, env={**self.stack.env, **imports}, ready=ready, log=self.stack.home / "dramatiq.log")

    def _bare_messages(self) -> int:
        return int(self.redis.hlen("bare:default.msgs"))

    def _count(self, full: int) -> int:
        return max(1, int(full * self.scale))
