"""`python -m benchmarks.soak`: a thousand tasks a second for minutes, and what they leave behind in PostgreSQL.

No-op tasks, a hundred a request, are submitted in even steps to an API, and run by a worker, beside a scheduler, on
servers of their own with the development stack's settings: fsync and autovacuum are on. Counted from when the worker
has run its first tasks until the last one has ended:

- WAL bytes a task: all that was written, by whatever process, with full-page images and vacuuming.
- Dead rows a task: each row that an UPDATE or a DELETE left behind, in any table. Autovacuum takes them away.
- p99 from submit to start, of the tasks of the first minute and of the last one, by PostgreSQL's clock.

Exits with 1 where a bar is missed, and where the machine did not carry the rate: tasks wait for the processor then, and
the p99 tells of the queue only. `--rate` asks for less.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.checkout import PROCESSES, THREADS, Checkout, Stack
from benchmarks.load import HUNDRED, SINGLE
from benchmarks.processes import processor_seconds, running
from taskyard_dev.home import temporary
from tests.support.fleet import wait_for

RATE = 1_000
MOST_WAL_BYTES, MOST_DEAD_ROWS, MOST_GROWTH = 2_048, 3.0, 1.5
# Of the rate: what lies below is the machine's limit, not a pause.
HELD = 0.95
_BATCH = 100
_PATIENCE_SECONDS = 300

_WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
_CHANGED = "SELECT sum(n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables"
_LEFT = "SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables"
_P99 = """
SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - created_at)) FROM task
WHERE created_at BETWEEN %s AND %s
"""
_STATISTICS_ARE_TOLD_WITHIN_SECONDS = 2.0


@dataclass(frozen=True)
class Soak:
    tasks: int
    seconds: float  # from the first submit to the last end
    wal_bytes: float
    dead_rows: float
    standing: int  # dead rows at the end
    first_p99: float
    last_p99: float
    processor: dict[str, float]  # seconds

    @property
    def rate(self) -> float:
        return self.tasks / self.seconds

    def misses(self, rate: float) -> list[str]:
        """`rate`: what was asked for, in tasks a second."""
        slow = self.rate < HELD * rate
        held = [f"{self.rate:,.0f} of {rate:,.0f} tasks a second were carried; try a lower --rate"] if slow else []
        bars = {
            "WAL bytes a task": (self.wal_bytes, MOST_WAL_BYTES),
            "dead rows a task": (self.dead_rows, MOST_DEAD_ROWS),
            "last minute's p99 / the first's": (self.last_p99 / self.first_p99, MOST_GROWTH),
        }
        return held + [f"{name}: {value:,.2f} > {bar:,}" for name, (value, bar) in bars.items() if value > bar]


def soak(stack: Stack, *, rate: int, seconds: float) -> Soak:
    with _services(stack) as pids:
        wait_for(lambda: stack.accepts(SINGLE), 30, "the task types to be known", every=0.1)
        _submit(stack, rate=rate, seconds=5)  # each process has imported what it needs, and statements are prepared
        stack.wait_until_all_are_recorded()
        time.sleep(_STATISTICS_ARE_TOLD_WITHIN_SECONDS)
        wal, changed, began = stack.query(_WAL), stack.query(_CHANGED), stack.query("SELECT clock_timestamp()")
        spent = {name: processor_seconds(pid) for name, pid in pids.items()}
        tasks = _submit(stack, rate=rate, seconds=seconds)
        submitted = stack.query("SELECT clock_timestamp()")
        unfinished = "SELECT EXISTS (SELECT FROM task WHERE finished_at IS NULL)"
        wait_for(lambda: not stack.query(unfinished), _PATIENCE_SECONDS, "all tasks to be recorded", every=0.5)
        time.sleep(_STATISTICS_ARE_TOLD_WITHIN_SECONDS)
        ended = stack.query("SELECT max(finished_at) FROM task")
        minute = timedelta(seconds=min(60.0, seconds / 2))
        return Soak(
            tasks,
            (ended - began).total_seconds(),
            (stack.query(_WAL) - wal) / tasks,
            float((stack.query(_CHANGED) - changed) / tasks),
            stack.query(_LEFT),
            _p99(stack, began, began + minute),
            _p99(stack, submitted - minute, submitted),
            {name: processor_seconds(pid) - spent[name] for name, pid in pids.items()},
        )


def _p99(stack: Stack, since: Any, until: Any) -> float:
    return float(stack.query(_P99, since, until))


@contextmanager
def _services(stack: Stack) -> Iterator[dict[str, int]]:
    """An API, a scheduler and a worker; their process ids, and those of the servers."""
    command = [stack.checkout.command("taskyard-scheduler"), "run"]
    leads = "SELECT count(*) FROM leader WHERE expires_at > now()"
    log = stack.home / "scheduler.log"
    with (
        stack.api() as api,
        running(command, env=stack.env, ready=lambda: stack.query(leads) > 0, log=log) as scheduler,
        stack.worker() as worker,
    ):
        servers = {"PostgreSQL": stack.postgres.pid, "Redis": stack.valkey.pid}
        pids = {"API": api.pid, "worker": worker.pid, "scheduler": scheduler.pid}
        yield pids | {name: pid for name, pid in servers.items() if pid is not None}


def _submit(stack: Stack, *, rate: int, seconds: float) -> int:
    """Sends a batch at each of its times, late ones at once; gives up where it takes twice as long. Returns how many
    tasks were accepted."""
    head, _, body = HUNDRED[0].partition(b"\r\n\r\n")
    request, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    connection = HTTPConnection("127.0.0.1", int(stack.env["TASKYARD_API_PORT"]), timeout=30)
    started = time.monotonic()
    sent = 0
    while sent < rate * seconds and time.monotonic() - started < 2 * seconds:
        time.sleep(max(0.0, started + sent / rate - time.monotonic()))
        connection.request("POST", request.split()[1], body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != HTTPStatus.ACCEPTED:
            raise RuntimeError(f"a submit was answered {answer.status}")
        sent += _BATCH
    connection.close()
    return sent


def table(found: Soak) -> str:
    spent = ", ".join(f"{name} {seconds / found.tasks * 1e6:,.0f}" for name, seconds in found.processor.items())
    rows = [
        ("WAL bytes a task", f"{found.wal_bytes:,.0f}", f"{MOST_WAL_BYTES:,}"),
        ("dead rows a task", f"{found.dead_rows:.2f}", f"{MOST_DEAD_ROWS:g}"),
        ("p99 submit to start, first minute, ms", f"{found.first_p99 * 1e3:,.1f}", ""),
        ("p99 submit to start, last minute, ms", f"{found.last_p99 * 1e3:,.1f}", ""),
        ("last minute / first", f"{found.last_p99 / found.first_p99:.2f}", f"{MOST_GROWTH:g}"),
    ]
    return "\n".join(
        [
            f"{found.tasks:,} tasks at {found.rate:,.0f} a second, {PROCESSES} processes of {THREADS} threads.",
            "",
            f"| {'figure':<38} | {'value':>9} | {'bar':>6} |",
            f"| {'-' * 38} | {'-' * 8}: | {'-' * 5}: |",
            *(f"| {name:<38} | {value:>9} | {bar:>6} |" for name, value, bar in rows),
            "",
            f"Dead rows left for autovacuum at the end: {found.standing:,}. Processor us a task: {spent}.",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long tasks are submitted (10)")
    parser.add_argument("--rate", type=int, default=RATE, help="tasks a second (1000)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends what was started
    with temporary("soak") as directory:
        checkout = Checkout.at(Path(__file__).parents[1])
        with checkout.stack(directory / "stack") as stack:
            found = soak(stack, rate=options.rate, seconds=options.minutes * 60)
    print(table(found))
    misses = found.misses(options.rate)
    for missed in misses:
        print(f"missed: {missed}", file=sys.stderr)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
