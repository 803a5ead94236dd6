"""`python -m benchmarks.cost BASE NEW`: what a submit and a recorded task cost in two checkouts of this project.

Each is a directory with a `.venv` of its own (`make install`). In every round each checkout gets new servers (fsync on,
as in production), its own API and its own worker. Every step runs on one side and then on the other, while the first
is idle; the order changes from round to round.

- Processor time is user + system, of the service with its descendants and of all of PostgreSQL. It says little about
  waiting, and unlike wall time it stays nearly the same while other programs use the processors.
- A submit is a no-op task in a request of its own, over 32 connections; its cost includes publication and the deletion
  of its outbox row.
- A recorded task is claimed, run and finished by 2 worker processes of 8 threads. The first tenth is not counted: the
  worker still imports its modules then. The tasks were submitted before.
- WAL is counted from a CHECKPOINT on, so that full-page images weigh alike on both sides, for all tasks of the phase.
- Autovacuum is off, for it would hit one side or the other by chance (up to a fifth of PostgreSQL's time for a submit);
  each phase begins with a VACUUM ANALYZE that is not counted. All other settings are the development stack's.
- Planning is the processor time that PostgreSQL itself logs for each plan (`log_planner_stats`; benchmarks/planning.py
  says why), in phases of their own after the others.

The ratio is the median of the rounds' ratios: within a round both sides see the same load of the machine. A difference
is one where all rounds' ratios lie on the same side of 1, and further from it than those of a checkout against itself.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from benchmarks.checkout import Checkout, Stack
from benchmarks.load import HUNDRED, SINGLE
from benchmarks.planning import planning
from benchmarks.processes import metered
from taskyard_dev.home import temporary
from tests.support.fleet import wait_for

SUBMITS, TURNS = 12_000, 6
WARM_UP = 500
HUNDREDS = 80
PLANNED_SUBMITS, PLANNED_HUNDREDS = 4_000, 30
MOST_ROUNDS = 20
# No round begins after this: what is measured by then is printed.
LAST_ROUND_AFTER_SECONDS = 10 * 60

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


class Run:
    """One side of a round: a checkout's API on servers of its own. Figures are per task, times in microseconds."""

    def __init__(self, stack: Stack, api: Popen[bytes]) -> None:
        self._measured: dict[str, list[float]] = defaultdict(list)
        self.plans: dict[str, list[dict[str, object]]] = {}
        self._stack = stack
        self._api = api

    @classmethod
    @contextmanager
    def of(cls, checkout: Checkout, home: Path) -> Iterator[Run]:
        with checkout.stack(home) as stack:
            stack.conn.execute("ALTER SYSTEM SET autovacuum = off")
            stack.conn.execute("SELECT pg_reload_conf()")
            with stack.api() as api:
                # The API knows what workers have registered, and the submits are measured without a worker.
                stack.wait_until_task_types_are_known()
                yield cls(stack, api)

    @property
    def figures(self) -> dict[str, float]:
        """Means of what was measured more than once."""
        return {name: statistics.fmean(values) for name, values in self._measured.items()}

    @contextmanager
    def measured_submits(self) -> Iterator[None]:
        """Around the submits of both sides: each counts its own processes only, and what they cost while idle is a
        thousandth of it."""
        with self._stack.seemingly_served():
            self._submit(SINGLE, WARM_UP)
            with self._wal("submit_wal", SUBMITS), self._processor("submit", "api", self._api, SUBMITS):
                yield

    def some_submits(self) -> None:
        self._submit(SINGLE, SUBMITS // TURNS)

    def submits_by_the_hundred(self) -> None:
        with self._wal("submit_100_wal", HUNDREDS * 100):
            self._submit(HUNDRED, HUNDREDS)

    def tasks(self) -> None:
        total = self._stack.unfinished()
        with self._wal("task_wal", total), self._stack.worker() as worker:
            wait_for(lambda: self._stack.unfinished() < 0.9 * total, 60, "the first tasks to be recorded")
            left = self._stack.unfinished()
            if left < total / 4:
                raise RuntimeError(f"only {left} of {total} tasks are left to be measured")
            with self._processor("task", "worker", worker, left):
                self._stack.wait_until_all_are_recorded()
        failed = self._stack.query("SELECT count(*) FROM task WHERE state <> 'succeeded'")
        if failed:
            raise RuntimeError(f"{failed} tasks did not succeed")

    def plans_of_submits(self) -> None:
        with self._planning("submit", PLANNED_SUBMITS):
            self._submit(SINGLE, PLANNED_SUBMITS)

    def plans_of_tasks(self) -> None:
        self._submit(HUNDRED, PLANNED_HUNDREDS)
        with self._planning("task", self._stack.unfinished()), self._stack.worker():
            self._stack.wait_until_all_are_recorded()

    def _submit(self, requests: Sequence[bytes], count: int) -> None:
        """Returns once all are published and their outbox rows are gone."""
        self._stack.submit(requests, count)
        self._stack.wait_until_all_are_published()

    @contextmanager
    def _wal(self, name: str, tasks: int) -> Iterator[None]:
        self._stack.conn.execute("VACUUM (ANALYZE)")
        self._stack.conn.execute("CHECKPOINT")
        position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
        before = self._stack.query(position)
        yield
        self._measured[name].append((self._stack.query(position) - before) / tasks)

    @contextmanager
    def _processor(self, phase: str, service: str, process: Popen[bytes], tasks: int) -> Iterator[None]:
        assert self._stack.postgres.pid is not None
        pids = {service: process.pid, "postgres": self._stack.postgres.pid}
        with metered(pids) as spent:
            yield
        for name, seconds in spent.items():
            self._measured[f"{phase}_{name}"].append(seconds / tasks * 1e6)

    @contextmanager
    def _planning(self, phase: str, tasks: int) -> Iterator[None]:
        with planning(self._stack.postgres) as planned:
            yield
        self._measured[f"{phase}_planning"].append(planned.total_seconds / tasks * 1e6)
        self.plans[phase] = planned.by_statement()


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
    with temporary("cost") as directory:
        for number in range(1, options.rounds + 1):
            if time.monotonic() - started > LAST_ROUND_AFTER_SECONDS:
                print(f"stopped before round {number}: out of time", file=sys.stderr)
                break
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
            home = directory / str(number)
            home.mkdir(mode=0o711)
            with Run.of(sides["base"], home / "base") as base, Run.of(sides["new"], home / "new") as new:
                _round((base, new) if number % 2 else (new, base))
            runs["base"].append(base)
            runs["new"].append(new)
    print(_json(sides, runs) if options.json else _table(sides, runs))
    return 0


def _round(pair: tuple[Run, Run]) -> None:
    """Each step on one side and at once on the other, so that both see the same load of the machine."""
    first, second = pair
    with first.measured_submits(), second.measured_submits():
        for turn in range(TURNS):
            for run in pair if turn % 2 else (second, first):
                run.some_submits()
    for order in (pair, (second, first)):
        for step in (Run.submits_by_the_hundred, Run.tasks):
            for run in order:
                step(run)
    for step in (Run.plans_of_submits, Run.plans_of_tasks):
        for run in pair:
            step(run)


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
        f"| {'figure':<40} | {'base':>8} | {'new':>8} | {'ratio':>6} | {'all ratios':>18} | {'spread of base':>19} |",
        f"| {'-' * 40} | {'-' * 7}: | {'-' * 7}: | {'-' * 5}: | {'-' * 17}: | {'-' * 18}: |",
    ]
    for name, title in TITLES.items():
        base, new = ([run.figures[name] for run in runs[side]] for side in ("base", "new"))
        ratios = [theirs / ours if ours else float("nan") for ours, theirs in zip(base, new, strict=True)]
        lines.append(
            f"| {title:<40} | {statistics.median(base):8,.1f} | {statistics.median(new):8,.1f}"
            f" | {statistics.median(ratios):6.3f} | {f'{min(ratios):.3f} .. {max(ratios):.3f}':>18}"
            f" | {f'{min(base):,.1f} .. {max(base):,.1f}':>19} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
