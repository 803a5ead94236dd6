"""A ledger with a million waiting tasks next to an empty one: what a submit, a claim and three reads cost in each.

Each ledger has servers and an API of its own. A step runs in small turns on one and on the other, so that both see the
same load of the machine; what counts is processor time, of the API with PostgreSQL, and for claims of this process with
PostgreSQL (see `benchmarks.cost`). Autovacuum is off, as it is there; each round begins with a VACUUM ANALYZE.

The tasks that are read, listed and claimed are of the same size in both; status is asked of tasks all over the ledger.
The depth of queues is a snapshot that the leader of the scheduler takes every five seconds: its own cost grows with the
waiting tasks, and is shown apart.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from benchmarks.checkout import Checkout, Stack
from benchmarks.load import SINGLE, get
from benchmarks.processes import processor_seconds
from taskyard.lifecycle.claim import claim
from taskyard.store import ledger
from taskyard_scheduler.depth import Depth
from tests.integration.store.seeding import WAITING, seed
from tests.support.fleet import wait_for

BAR = 1.2
TURNS = 8
# A claim of a child with 16 free slots.
CLAIMED_AT_ONCE = 16
# Of each step in each round, in all of its turns.
SUBMITS, READS, LISTS = 3_200, 3_200, 800


@dataclass
class Side:
    """One ledger. Processor seconds and seconds an operation, of every turn."""

    stack: Stack
    api: Popen[bytes]
    engine: Engine
    worker_id: UUID
    asked: list[UUID] = field(default_factory=list)
    processor: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    elapsed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    @contextmanager
    def of(cls, checkout: Checkout, home: Path, rows: int) -> Iterator[Side]:
        with checkout.stack(home) as stack:
            for statement in ("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"):
                stack.conn.execute(statement)
            with stack.api() as api:
                stack.wait_until_task_types_are_known()
                worker_id = UUID(str(stack.query("SELECT id FROM worker")))
                if rows:
                    seed(stack.postgres.url().replace("+psycopg", ""), WAITING, rows)
                    stack.conn.execute("DELETE FROM outbox")
                # A worker that takes nothing, because callers hear where none is alive.
                alive = "UPDATE worker SET stopped_at = NULL, beat_at = now() + interval '1 hour' WHERE id = %s"
                stack.conn.execute(alive, [worker_id])
                engine = ledger.make_engine(stack.postgres.url())
                try:
                    yield cls(stack, api, engine, worker_id)
                finally:
                    engine.dispose()

    def begin(self) -> None:
        """Before each round; measures the leader's count of the queues."""
        self.stack.conn.execute("VACUUM (ANALYZE)")
        self.stack.conn.execute("CHECKPOINT")
        started = time.perf_counter()
        ledger.run_transaction(self.engine, Depth.snapshot)
        self.elapsed["count"].append(time.perf_counter() - started)

    def submits(self) -> None:
        count = SUBMITS // TURNS
        with self._measured("submit", count):
            self.stack.submit(SINGLE, count)

    def statuses(self) -> None:
        if not self.asked:
            self.asked = self._ids("SELECT id FROM task WHERE state = 'queued' ORDER BY random() LIMIT %s", READS)
        ids = [self.asked.pop() for _ in range(READS // TURNS)]
        self._read("status", [f"/api/v1/tasks/{task_id}/status" for task_id in ids])

    def lists(self) -> None:
        self._read("list", ["/api/v1/tasks?limit=50"] * (LISTS // TURNS))

    def lists_of_waiting(self) -> None:
        self._read("list_waiting", ["/api/v1/tasks?limit=50&state=queued&queue=default"] * (LISTS // TURNS))

    def depths(self) -> None:
        self._read("depth", ["/api/v1/queues"] * (READS // TURNS))

    def claims(self) -> None:
        """The tasks that were submitted in this round."""
        newest = "SELECT id FROM task WHERE state = 'queued' AND name = 'diagnostics.echo' ORDER BY id LIMIT %s"
        ids = self._ids(newest, SUBMITS // TURNS)
        with self._measured("claim", len(ids), api=False):
            for start in range(0, len(ids), CLAIMED_AT_ONCE):
                some = ids[start : start + CLAIMED_AT_ONCE]
                won = ledger.run_transaction(self.engine, partial(_claim, ids=some, worker_id=self.worker_id))
                if won != len(some):
                    raise RuntimeError(f"claimed {won} of {len(some)} tasks")

    def _read(self, step: str, paths: list[str]) -> None:
        requests = [get(path) for path in paths]
        with self._measured(step, len(requests)):
            self._send(requests, b"200")

    def _send(self, requests: list[bytes], status: bytes) -> None:
        self.stack.send(requests, status)
        outbox = "SELECT EXISTS (SELECT FROM outbox)"
        wait_for(lambda: not self.stack.query(outbox), 15, "an empty outbox", every=0.02)

    def _ids(self, statement: str, count: int) -> list[UUID]:
        return [task_id for (task_id,) in self.stack.conn.execute(statement.encode(), [count])]

    @contextmanager
    def _measured(self, step: str, operations: int, *, api: bool = True) -> Iterator[None]:
        def spent() -> float:
            assert self.stack.postgres.pid is not None
            other = processor_seconds(self.api.pid) if api else time.process_time()
            return processor_seconds(self.stack.postgres.pid) + other

        before, started = spent(), time.perf_counter()
        yield
        self.elapsed[step].append((time.perf_counter() - started) / operations)
        self.processor[step].append((spent() - before) / operations)


def _claim(conn: Connection, ids: list[UUID], worker_id: UUID) -> int:
    types = {"diagnostics.echo": 1}
    return len(claim(conn, ids, claim=uuid4(), worker_id=worker_id, worker="bench:1", types=types).answer)


@dataclass(frozen=True)
class Step:
    """`method` of a side measures it under `name`."""

    name: str
    title: str
    run: Callable[[Side], None]


# In this order: what is submitted is read and listed while it waits, and then claimed.
STEPS = (
    Step("submit", "submit, 1 a request", Side.submits),
    Step("status", "status of a task", Side.statuses),
    Step("list", "list of the newest 50", Side.lists),
    Step("list_waiting", "list of 50 that wait", Side.lists_of_waiting),
    Step("depth", "depth of all queues", Side.depths),
    Step("claim", f"claim, {CLAIMED_AT_ONCE} at once", Side.claims),
)

# By side (`empty`, `full`), measure (`processor`, `elapsed`) and step, in seconds an operation.
Figures = dict[str, dict[str, dict[str, list[float]]]]


def compare(checkout: Checkout, home: Path, *, rounds: int, rows: int) -> Figures:
    home.mkdir(mode=0o711)
    with Side.of(checkout, home / "empty", 0) as empty, Side.of(checkout, home / "full", rows) as full:
        for number in range(1, rounds + 1):
            print(f"ledgers, round {number} of {rounds}", file=sys.stderr, flush=True)
            for side in (empty, full):
                side.begin()
            for step in STEPS:
                for _ in range(TURNS):
                    for side in random.sample((empty, full), 2):
                        step.run(side)
        sides = {"empty": empty, "full": full}
        return {name: {"processor": side.processor, "elapsed": side.elapsed} for name, side in sides.items()}


def ratio(figures: Figures, step: Step) -> float:
    """Of the processor time in the full ledger to that in the empty one. Means: its clock ticks 100 times a second, so
    that a turn by itself says little."""
    few, many = (statistics.fmean(figures[side]["processor"][step.name]) for side in ("empty", "full"))
    return many / few


def over_the_bar(figures: Figures) -> list[str]:
    """Titles of the steps that cost too much more in the full ledger."""
    return [step.title for step in STEPS if ratio(figures, step) > BAR]


def table(figures: Figures, rounds: int, rows: int) -> str:
    """Means of processor time, medians of elapsed time."""
    empty, full = figures["empty"], figures["full"]
    lines = [
        f"A ledger with {rows:,} waiting tasks next to an empty one, {rounds} rounds.",
        "Processor time of the API (claims: of this process) and PostgreSQL.",
        "",
        f"| {'processor us':<22} | {'empty':>8} | {'full':>8} | {'ratio':>6} | {'bar':<6} | {'elapsed':>7} |",
        f"| {'-' * 22} | {'-' * 7}: | {'-' * 7}: | {'-' * 5}: | {'-' * 6} | {'-' * 6}: |",
    ]
    for step in STEPS:
        few, many = (statistics.fmean(side["processor"][step.name]) * 1e6 for side in (empty, full))
        elapsed = statistics.median(full["elapsed"][step.name]) / statistics.median(empty["elapsed"][step.name])
        share = ratio(figures, step)
        lines.append(f"| {step.title:<22} | {few:8,.0f} | {many:8,.0f} | {share:6.3f} | <= {BAR} | {elapsed:7.3f} |")
    counted = [statistics.median(side["elapsed"]["count"]) * 1e3 for side in (empty, full)]
    return "\n".join([*lines, "", "The leader's count of the queues: {:,.0f} ms and {:,.0f} ms.".format(*counted)])
