"""An idle installation: how long a submit takes to the start of its task, and what the services cost while nothing is
to be done."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import redis

from benchmarks.checkout import PROCESSES, Stack
from benchmarks.floor import Floor
from benchmarks.load import KEY, TASKS
from benchmarks.processes import metered, waits_for_processors
from benchmarks.stages import Sample, watched
from benchmarks.stamp import ENVIRONMENT, STAMP, STAMPS

_BODY = f'{{"name":"{STAMP}"}}'
_PATIENCE_SECONDS = 8  # less than the client waits for an answer
# So many tasks, at least, have run before the first sample: each child has opened its connections by then.
_WARM_UP = 40
PAUSES = (0.02, 0.06)


class Latency:
    """From the beginning of the transaction that inserts a task to the first line of its function."""

    def __init__(self, stack: Stack, api: Popen[bytes], client: redis.Redis) -> None:
        self._stack = stack
        self._api = api
        self._client = client
        self._http = http.client.HTTPConnection("127.0.0.1", int(stack.env["TASKYARD_API_PORT"]), timeout=10)

    def samples(self, count: int) -> tuple[list[Sample], Mapping[str, list[float]]]:
        """So many submits, one at a time, to a worker with nothing else to do; and the floor's parts, measured once
        after each of them."""
        with (
            self._ready_worker() as worker,
            Floor.of(self._stack, self._client) as floor,
            watched(self._client) as watch,
        ):
            pids = [pid for pid in (self._api.pid, worker.pid, self._stack.postgres.pid, self._stack.valkey.pid) if pid]
            started: dict[str, tuple[float, float]] = {}
            for _ in range(count):
                before = waits_for_processors(pids)
                task_id, _, began = self._one()
                started[task_id] = began, waits_for_processors(pids) - before
                time.sleep(random.uniform(*PAUSES))
                floor.measure()
        submitted = self._submitted(started)
        samples = [
            Sample(began - submitted[task_id], waited, watch.stages(task_id, submitted[task_id], began))
            for task_id, (began, waited) in started.items()
        ]
        return samples, floor.seconds

    @contextmanager
    def _ready_worker(self) -> Iterator[Popen[bytes]]:
        """Each of its children has run a task."""
        root = str(Path(__file__).parents[1])
        more = {**ENVIRONMENT, "PYTHONPATH": root, "BENCH_REDIS_URL": self._stack.valkey.url}
        self._client.delete(STAMPS)
        with self._stack.worker(more=more) as worker:
            self._until(lambda: self._post() == 202)
            self._stamped()
            seen = [self._one()[1] for _ in range(_WARM_UP)]
            self._until(lambda: seen.append(self._one()[1]) or len(set(seen)) == PROCESSES)  # type: ignore[func-returns-value]
            yield worker

    def _one(self) -> tuple[str, str, float]:
        """Submits a task and waits until it has begun; returns its id, its process and when that was."""
        status = self._post()
        if status != 202:
            raise RuntimeError(f"a submit was answered with {status}")
        return self._stamped()

    def _post(self) -> int:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self._http.request("POST", TASKS, _BODY, headers)
        answer = self._http.getresponse()
        answer.read()
        return answer.status

    def _stamped(self) -> tuple[str, str, float]:
        found: Any = self._client.blpop([STAMPS], timeout=_PATIENCE_SECONDS)
        if found is None:
            raise RuntimeError(f"a task has not begun within {_PATIENCE_SECONDS} s")
        task_id, pid, began = found[1].decode().split()
        return task_id, pid, float(began)

    def _submitted(self, ids: Mapping[str, object]) -> dict[str, float]:
        rows = self._stack.conn.execute(
            "SELECT id::text, extract(epoch FROM created_at) FROM task WHERE id = ANY(%s::uuid[])", [list(ids)]
        )
        return {task_id: float(at) for task_id, at in rows}

    def _until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError("the worker is not ready after 60 s")
            time.sleep(0.05)


def cost(stack: Stack, client: redis.Redis, services: Mapping[str, Popen[bytes]], seconds: float) -> dict[str, float]:
    """Of processes that have nothing to do: commands of Redis and transactions of PostgreSQL a second, and the share of
    one processor that each process takes. What this asks itself is left out."""
    assert stack.postgres.pid is not None
    assert stack.valkey.pid is not None
    pids = {name: process.pid for name, process in services.items()}
    with metered({**pids, "PostgreSQL": stack.postgres.pid, "Redis": stack.valkey.pid}) as spent:
        began, commands, transactions = time.perf_counter(), _commands(client), _transactions(stack)
        time.sleep(seconds)
        commands, transactions = _commands(client) - commands - 1, _transactions(stack) - transactions - 1
        took = time.perf_counter() - began
    shares = {f"{name}, % of a processor": value / took * 100 for name, value in spent.items()}
    return {"Redis commands/s": commands / took, "PostgreSQL transactions/s": transactions / took, **shares}


def _commands(client: redis.Redis) -> int:
    answer: Any = client.info("stats")
    return int(answer["total_commands_processed"])


def _transactions(stack: Stack) -> int:
    # A session reports what it has done a second after it, at the latest.
    stack.conn.execute("SELECT pg_stat_force_next_flush()")
    counted = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int(stack.query(counted))
