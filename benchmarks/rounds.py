"""What one round measures: both systems, one after the other, on the same servers."""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from subprocess import Popen
from typing import Any

import redis

from benchmarks import flows, idle
from benchmarks.checkout import PROCESSES, THREADS, Stack
from benchmarks.floor import total
from benchmarks.idle import PAUSES, Latency
from benchmarks.load import HUNDRED, SINGLE, VALUES
from benchmarks.peers import Peer
from benchmarks.processes import metered, proportional_bytes, running, voluntary_switches
from benchmarks.stages import Sample
from tests.support.fleet import wait_for

# Until the API has seen that a worker lives; before, each submit is answered with a warning.
_LEARNT_SECONDS = 1.5
_SETTLE_SECONDS = 2.0
# The first part of the tasks is not counted: children still start then.
_COUNTED = 0.9
_WARM_UP = 500


@dataclass
class Rounds:
    """The figures of every round. Rates are per second, times in seconds, processor seconds per 10,000."""

    stack: Stack
    api: Popen[bytes]
    redis: redis.Redis
    scale: float
    peers: Sequence[Peer] = ()
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        # benchmarks.bare reads it at import, here and in its worker.
        os.environ["BENCH_REDIS_URL"] = self.stack.valkey.url

    def warm_up(self) -> None:
        with self.stack.seemingly_served():
            self.stack.submit(SINGLE, _WARM_UP)

    def round(self) -> None:
        """Everything once. The order within a group changes by chance, so that drift favours nobody."""
        groups: list[tuple[Callable[[], None], ...]] = [
            (self.bare_send, self.submits),
            (self.bare_completions, self.completions, *(self._of_peer(peer) for peer in self.peers)),
            (self.bare_latency, self.latency),
            (self.bare_flows, self.flows),
        ]
        for group in groups:
            for step in random.sample(group, len(group)):
                step()

    def bare_send(self) -> None:
        from benchmarks.bare import echo

        count = self._count(5_000)
        with metered({"redis": self._redis_pid}) as spent:
            began, used = time.perf_counter(), time.process_time()
            for value in islice(cycle(VALUES), count):
                echo.send(value)
            took, used = time.perf_counter() - began, time.process_time() - used
        self.figures["send"].append(count / took)
        self._per_10_000("send", {"python": used, **spent}, count)

    def submits(self) -> None:
        for size, requests, count in ((1, SINGLE, self._count(6_000)), (100, HUNDRED, self._count(200))):
            with self.stack.seemingly_served():
                time.sleep(_LEARNT_SECONDS)
                with metered(self._pids(api=self.api)) as spent:
                    rate = self.stack.submit(requests, count)
                    self.stack.wait_until_all_are_published()
            self.figures[f"submits_{size}"].append(rate * size)
            self._per_10_000(f"submit_{size}", spent, count * size)

    def bare_completions(self) -> None:
        from benchmarks.bare import echo

        total_count = self._count(20_000)
        while self._bare_messages() < total_count:
            echo.send(1)
        # From the first completion seen to the last: its start-up is not counted, as below.
        with self._bare_worker(ready=lambda: self._bare_messages() < total_count) as worker:
            left, began = self._bare_messages(), time.perf_counter()
            wait_for(lambda: self._bare_messages() < _COUNTED * left, 120, "bare Dramatiq", every=0.01)
            with self._costs("bare_task", {"worker": worker.pid, "redis": self._redis_pid}, self._bare_messages()):
                wait_for(lambda: not self._bare_messages(), 120, "bare Dramatiq to finish", every=0.01)
            self.figures["bare_completions"].append(left / (time.perf_counter() - began))

    def completions(self) -> None:
        """What the submits before left waiting, or as many again."""
        missing = self._count(20_000) - self.stack.unfinished()
        if missing > 0:
            self.stack.submit(HUNDRED, -(-missing // 100))
        waiting = self.stack.unfinished()
        mark = self.stack.query("SELECT clock_timestamp()")
        with self.stack.worker() as worker:
            wait_for(lambda: self.stack.unfinished() < _COUNTED * waiting, 60, "the first tasks to be recorded")
            with self._costs("task", self._pids(worker=worker), self.stack.unfinished()):
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
            for number in range(-5, self._count(25)):
                stamp.send(time.time())
                found: Any = self.redis.blpop([LATENCIES], timeout=8)
                if number >= 0:  # it is ready by then
                    self.figures["bare_latency"].append(float(found[1]))
                time.sleep(random.uniform(*PAUSES))

    def latency(self) -> None:
        samples, floor = Latency(self.stack, self.api, self.redis).samples(200 if self.scale == 1 else 100)
        self.samples += samples
        self.figures["latency"] += [sample.took for sample in samples]
        self.figures["floor"].append(total(floor))
        for name, seconds in floor.items():
            self.figures[f"floor_{name}"] += seconds

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

    def at_rest(self, seconds: float) -> dict[str, dict[str, float]]:
        """What each installation costs while nothing is to be done, the bare one without a scheduler and a ledger."""
        with self.stack.worker() as worker, self.stack.scheduler() as scheduler:
            time.sleep(2 * _SETTLE_SECONDS)
            services = {"API": self.api, "worker": worker, "scheduler": scheduler}
            ours = idle.cost(self.stack, self.redis, services, seconds)
        with self._bare_worker(ready=lambda: True) as bare_worker:
            time.sleep(2 * _SETTLE_SECONDS)
            bare = idle.cost(self.stack, self.redis, {"worker": bare_worker}, seconds)
        return {"Taskyard": ours, "Dramatiq": bare}

    def _of_peer(self, peer: Peer) -> Callable[[], None]:
        def step() -> None:
            self.figures[peer.figure].append(peer.completions(self._count(peer.tasks)))

        return step

    @contextmanager
    def _costs(self, phase: str, pids: Mapping[str, int], tasks: int) -> Iterator[None]:
        """Around the end of so many tasks: what they cost each process, and how often the worker's threads waited."""
        switches = voluntary_switches(pids["worker"])
        with metered(pids) as spent:
            yield
        self.figures[f"{phase}_switches"].append((voluntary_switches(pids["worker"]) - switches) / tasks)
        self._per_10_000(phase, spent, tasks)

    def _per_10_000(self, phase: str, spent: Mapping[str, float], count: int) -> None:
        for name, seconds in spent.items():
            self.figures[f"{phase}_{name}"].append(seconds / count * 10_000)
        self.figures[f"{phase}_all"].append(sum(spent.values()) / count * 10_000)

    def _pids(self, **services: Popen[bytes]) -> dict[str, int]:
        assert self.stack.postgres.pid is not None
        pids = {name: process.pid for name, process in services.items()}
        return {**pids, "postgres": self.stack.postgres.pid, "redis": self._redis_pid}

    @property
    def _redis_pid(self) -> int:
        assert self.stack.valkey.pid is not None
        return self.stack.valkey.pid

    def _bare_worker(self, *, ready: Callable[[], bool]) -> AbstractContextManager[Popen[bytes]]:
        command = [self.stack.checkout.command("dramatiq"), "benchmarks.bare"]
        command += ["-p", str(PROCESSES), "-t", str(THREADS)]
        imports = {"BENCH_REDIS_URL": self.stack.valkey.url, "PYTHONPATH": str(Path(__file__).parents[1])}
        return running(command, env={**self.stack.env, **imports}, ready=ready, log=self.stack.home / "dramatiq.log")

    def _bare_messages(self) -> int:
        return int(self.redis.hlen("bare:default.msgs"))

    def _count(self, full: int) -> int:
        return max(1, int(full * self.scale))
