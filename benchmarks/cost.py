"""`python -m benchmarks.cost BASE NEW`: what a submit and a recorded task cost in two checkouts of this project.

Each is a directory with a `.venv` of its own (`make install`). In every round each checkout gets new servers (fsync on,
as in production), its own API and its own worker, one after the other; the order changes from round to round.

- Processor time is user + system, of the service with its descendants and of all of PostgreSQL. It says little about
  waiting, and unlike wall time it stays nearly the same while other programs use the processors.
- A submit is a no-op task in a request of its own, over 32 connections; its cost includes publication and the deletion
  of its outbox row.
- A recorded task is claimed, run and finished by 2 worker processes of 8 threads. The first tenth is not counted: the
  worker still imports its modules then. The tasks were submitted before.
- WAL is counted from a CHECKPOINT on, so that full-page images weigh alike on both sides, for all tasks of the phase.
- Planning is the processor time that PostgreSQL itself logs for each plan (`log_planner_stats`; benchmarks/planning.py
  says why), in phases of their own after the others.

The figures of the two sides are comparable where the machine is the same and the ratio leaves the spread of the base.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from benchmarks import load
from benchmarks.checkout import Checkout
from benchmarks.planning import planning
from benchmarks.processes import processor_seconds, running, wait_for
from benchmarks.rounds import HUNDRED, PROCESSES, SINGLE, THREADS
from taskyard_dev.servers import Postgres
from tests.support.fleet import answers

SUBMITS = 4_000
WARM_UP = 500
HUNDREDS = 40
PLANNED_SUBMITS, PLANNED_HUNDREDS = 1_000, 20
MOST_ROUNDS = 20
# No round begins after this: what is measured by then is printed.
LAST_ROUND_AFTER_SECONDS = 12 * 60

TITLES = {
    "submit_api": "API, processor us a submit",
    "submit_postgres": "PostgreSQL, processor us a submit",
    "task_worker": "worker, processor us a recorded task",
    "task_postgres": "PostgreSQL, processor us a recorded task",
    "submit_wal": "WAL bytes a task, submit (1 a request)",
    "submit_100_wal": "WAL bytes a task, submit (100 a request)",
    "task_wal": "WAL bytes a task, claim + finish",
    "submit_planning": "planning us a task, submit (1 a request)",
    "task_planning": "planning us a task, claim + finish",
}


@dataclass
class Run:
    """One checkout, measured once on servers of its own. Times in microseconds, per task."""

    checkout: Checkout
    home: Path
    figures: dict[str, float] = field(default_factory=dict)
    plans: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    def measure(self) -> None:
        with self.checkout.stack(self.home) as (self._postgres, self._env), self._postgres.connect() as self._conn:
            self._port = int(self._env["TASKYARD_API_PORT"])
            with self._api() as api:
                self._submits(api)
                with self._worker() as worker:
                    self._tasks(worker)
                with planning(self._postgres) as planned:
                    self._submit(SINGLE, PLANNED_SUBMITS)
                self.figures["submit_planning"] = planned.total_seconds / PLANNED_SUBMITS * 1e6
                self.plans["submit"] = planned.by_statement()
                self._submit(HUNDRED, PLANNED_HUNDREDS)
                total = self._unfinished()
                with planning(self._postgres) as planned, self._worker():
                    self._wait_until_all_are_recorded()
                self.figures["task_planning"] = planned.total_seconds / total * 1e6
                self.plans["task"] = planned.by_statement()

    def _submits(self, api: Popen[bytes]) -> None:
        self._submit(SINGLE, WARM_UP)
        self._conn.execute("CHECKPOINT")
        wal, ours, theirs = self._wal(), processor_seconds(api.pid), self._postgres_seconds()
        self._submit(SINGLE, SUBMITS)
        self.figures["submit_api"] = (processor_seconds(api.pid) - ours) / SUBMITS * 1e6
        self.figures["submit_postgres"] = (self._postgres_seconds() - theirs) / SUBMITS * 1e6
        self.figures["submit_wal"] = (self._wal() - wal) / SUBMITS
        self._conn.execute("CHECKPOINT")
        wal = self._wal()
        self._submit(HUNDRED, HUNDREDS)
        self.figures["submit_100_wal"] = (self._wal() - wal) / (HUNDREDS * 100)
        self._conn.execute("CHECKPOINT")
        self._wal_before_tasks, self._tasks_to_do = self._wal(), self._unfinished()

    def _tasks(self, worker: Popen[bytes]) -> None:
        total = self._tasks_to_do
        wait_for(lambda: self._unfinished() < 0.9 * total, 60, "the first tasks to be recorded", every=0.02)
        ours, theirs, left = processor_seconds(worker.pid), self._postgres_seconds(), self._unfinished()
        if left < total / 4:
            raise RuntimeError(f"only {left} of {total} tasks are left to be measured")
        self._wait_until_all_are_recorded()
        self.figures["task_worker"] = (processor_seconds(worker.pid) - ours) / left * 1e6
        self.figures["task_postgres"] = (self._postgres_seconds() - theirs) / left * 1e6
        self.figures["task_wal"] = (self._wal() - self._wal_before_tasks) / total
        failed = self._query("SELECT count(*) FROM task WHERE state <> 'succeeded'")
        if failed:
            raise RuntimeError(f"{failed} tasks did not succeed")

    def _submit(self, request: bytes, count: int) -> None:
        """Returns once all are published and their outbox rows are gone."""
        load.run(self._port, [request], count)
        wait_for(lambda: not self._query("SELECT EXISTS (SELECT FROM outbox)"), 15, "an empty outbox", every=0.1)

    def _wait_until_all_are_recorded(self) -> None:
        unfinished = "SELECT EXISTS (SELECT FROM task WHERE finished_at IS NULL)"
        wait_for(lambda: not self._query(unfinished), 120, "all tasks to be recorded", every=0.05)

    def _unfinished(self) -> int:
        return int(self._query("SELECT count(*) FROM task WHERE finished_at IS NULL"))

    def _postgres_seconds(self) -> float:
        assert self._postgres.pid is not None
        return processor_seconds(self._postgres.pid)

    def _wal(self) -> int:
        return int(self._query("SELECT pg_current_wal_insert_lsn() - '0/0'"))

    def _query(self, statement: str) -> Any:
        row = self._conn.execute(f"{statement} /* cost */".encode()).fetchone()
        assert row is not None
        return row[0]

    def _api(self) -> AbstractContextManager[Popen[bytes]]:
        ready = f"http://127.0.0.1:{self._port}/health/ready"
        return running(
            self.checkout.command("taskyard-api"), "serve",
            env=self._env, ready=lambda: answers(ready), log=self.home / "api.log",
        )  # fmt: skip

    def _worker(self) -> AbstractContextManager[Popen[bytes]]:
        live = "SELECT count(*) FROM worker WHERE stopped_at IS NULL AND lost_at IS NULL"
        return running(
            self.checkout.command("taskyard-worker"), "run", "--queues", "default", "--max-tasks-per-child", "0",
            "--processes", str(PROCESSES), "--threads", str(THREADS),
            env=self._env, ready=lambda: self._query(live) == 1, log=self.home / "worker.log",
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.cost", description=__doc__.partition("\n")[0])
    parser.add_argument("base", type=Path, metavar="BASE", help="a checkout with its own .venv")
    parser.add_argument("new", type=Path, metavar="NEW", help="another one, or the same to see the noise")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, MOST_ROUNDS + 1), metavar="N", help="(5)")
    parser.add_argument("--json", action="store_true", help="print every figure of every round, and the plans")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends what was started
    try:
        sides = {"base": Checkout.at(options.base), "new": Checkout.at(options.new)}
    except ValueError as e:
        parser.error(str(e))
    runs: dict[str, list[Run]] = {"base": [], "new": []}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="taskyard-cost-") as name:
        Path(name).chmod(0o711)
        for number in range(1, options.rounds + 1):
            if time.monotonic() - started > LAST_ROUND_AFTER_SECONDS:
                print(f"stopped before round {number}: out of time", file=sys.stderr)
                break
            for side in ("base", "new") if number % 2 else ("new", "base"):
                print(f"round {number} of {options.rounds}: {side}", file=sys.stderr, flush=True)
                run = Run(sides[side], Path(name) / f"{number}-{side}")
                run.measure()
                runs[side].append(run)
    print(_json(sides, runs) if options.json else _table(sides, runs))
    return 0


def _json(sides: dict[str, Checkout], runs: dict[str, list[Run]]) -> str:
    return json.dumps(
        {
            side: {
                "path": str(checkout.path),
                "commit": checkout.commit,
                "rounds": [run.figures for run in runs[side]],
                "plans": [run.plans for run in runs[side]],
            }
            for side, checkout in sides.items()
        },
        indent=1,
    )


def _table(sides: dict[str, Checkout], runs: dict[str, list[Run]]) -> str:
    lines = [
        *(f"{side}: {checkout.path} ({checkout.commit})" for side, checkout in sides.items()),
        f"Medians of {len(runs['base'])} alternating rounds. Planning: processor time by log_planner_stats.",
        "",
        f"| {'figure':<40} | {'base':>8} | {'new':>8} | {'ratio':>6} | {'spread of base':>19} |",
        f"| {'-' * 40} | {'-' * 7}: | {'-' * 7}: | {'-' * 5}: | {'-' * 18}: |",
    ]
    for name, title in TITLES.items():
        base, new = ([run.figures[name] for run in runs[side]] for side in ("base", "new"))
        ours, theirs = statistics.median(base), statistics.median(new)
        spread = f"{min(base):,.1f} .. {max(base):,.1f}"
        ratio = theirs / ours if ours else float("nan")
        lines.append(f"| {title:<40} | {ours:8,.1f} | {theirs:8,.1f} | {ratio:6.3f} | {spread:>19} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
