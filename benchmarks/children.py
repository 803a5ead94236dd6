"""`python -m benchmarks.children CHECKOUT…`: what the child processes of a worker cost, in each of these checkouts.

- Memory is that of the supervisor, of what children are forked from, and of the children, pages they share counted once
  (PSS): idle, and after so many no-op tasks.
- A successor is there when it runs a task: from `kill -9` of the only child to `started_at`, by PostgreSQL's clock.
  Beside it: starting Python once, which is the checkout's plain interpreter with its site packages on the path and
  nothing imported (`python -c pass`), from its start to its end.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import Checkout, Stack
from benchmarks.load import HUNDRED, SINGLE
from benchmarks.processes import proportional_bytes
from taskyard_dev.home import temporary
from tests.support.fleet import children, wait_for

COUNTS = (2, 4, 8)
TASKS, KILLS = 20_000, 10
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Memory:
    """Of a worker with so many children, in bytes."""

    children: int
    idle: int
    worked: int


@dataclass(frozen=True)
class Successors:
    """Seconds, of each kill: to the first task of the successor, and to start Python beside it."""

    took: list[float]
    python: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.took) / statistics.median(self.python)


def memory(stack: Stack, processes: int, tasks: int = TASKS) -> Memory:
    with _worker(stack, processes) as worker:
        idle = proportional_bytes(worker.pid)
        stack.submit(HUNDRED, tasks // 100)
        stack.wait_until_all_are_recorded()
        time.sleep(_SETTLE_SECONDS)
        return Memory(processes, idle, proportional_bytes(worker.pid))


def successors(stack: Stack, kills: int = KILLS) -> Successors:
    found = Successors([], [])
    with _worker(stack, 1) as worker:
        for _ in range(kills):
            (child,) = wait_for(lambda: children(worker.pid), 30, "the child")
            mark = stack.query("SELECT clock_timestamp()")
            os.kill(child, signal.SIGKILL)
            stack.submit(SINGLE, 1)
            stack.wait_until_all_are_recorded()
            first = "SELECT extract(epoch FROM started_at - %s) FROM task ORDER BY id DESC LIMIT 1"
            found.took.append(float(stack.query(first, mark)))
            time.sleep(1.0)
            found.python.append(_start_of_python(stack.checkout))
    return found


def _start_of_python(checkout: Checkout) -> float:
    began = time.perf_counter()
    subprocess.run([checkout.command("python"), "-c", "pass"], check=True)
    return time.perf_counter() - began


@contextmanager
def _worker(stack: Stack, processes: int) -> Iterator[subprocess.Popen[bytes]]:
    """All children are ready, which their number and a while show well enough."""
    with stack.worker(processes=processes) as worker:
        wait_for(lambda: len(children(worker.pid)) == processes, 60, "the children")
        time.sleep(_SETTLE_SECONDS)
        yield worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.children", description=__doc__.partition("\n")[0])
    parser.add_argument("checkouts", type=Path, nargs="+", metavar="CHECKOUT", help="each with its own .venv")
    parser.add_argument("--processes", default=",".join(map(str, COUNTS)), help="numbers of children (%(default)s)")
    parser.add_argument("--tasks", type=int, default=TASKS, help="before the second figure (%(default)s)")
    parser.add_argument("--kills", type=int, default=KILLS)
    options = parser.parse_args()
    for place in options.checkouts:
        checkout = Checkout.at(place)
        print(f"{checkout.path} ({checkout.commit})", flush=True)
        with temporary("children") as home, checkout.stack(home / "stack") as stack, stack.api():
            stack.wait_until_task_types_are_known()
            for count in map(int, options.processes.split(",")):
                of = memory(stack, count, options.tasks)
                mib = [f"{size / 1024**2:6.1f} MiB" for size in (of.idle, of.worked)]
                print(f"  {count} children: {mib[0]} idle, {mib[1]} after {options.tasks:,} tasks", flush=True)
            killed = successors(stack, options.kills)
            print(
                f"  a successor runs a task after {statistics.median(killed.took) * 1e3:.0f} ms"
                f" ({min(killed.took) * 1e3:.0f} to {max(killed.took) * 1e3:.0f});"
                f" Python starts in {statistics.median(killed.python) * 1e3:.0f} ms; ratio {killed.ratio:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
