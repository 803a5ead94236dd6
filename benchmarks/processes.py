"""Starting and stopping what is measured, its processor time, its memory and its context switches."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.fleet import offspring, wait_for

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    command: list[str], *, env: dict[str, str], ready: Callable[[], bool], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The command, ready; stopped with SIGTERM at the end, with SIGKILL where that does not help."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or ready(), 30, f"{command[0]} (see {log})", every=0.01)
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def processor_seconds(pid: int) -> float:
    """User and system time of a process, its descendants, and those of them that have ended."""
    # The name, which may hold anything, ends with the last bracket; utime, stime, cutime and cstime (proc(5)).
    ticks = (sum(map(int, stat.rpartition(")")[2].split()[11:15])) for stat in _of_family(pid, "stat"))
    return sum(ticks) / _TICKS_PER_SECOND


@contextmanager
def metered(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """Around what is measured: holds, afterwards, the processor seconds that each of these families took in it."""
    before = {name: processor_seconds(pid) for name, pid in pids.items()}
    spent: dict[str, float] = {}
    yield spent
    spent.update({name: processor_seconds(pid) - before[name] for name, pid in pids.items()})


def voluntary_switches(pid: int) -> int:
    """How often the threads of a process and of its descendants have given up a processor to wait."""
    lines = (line for status in _of_family(pid, "task/*/status") for line in status.splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def waits_for_processors(pids: Iterable[int]) -> float:
    """Seconds that the threads of these processes and of their descendants were ready to run, and had no processor."""
    waited = (int(stat.split()[1]) for pid in pids for stat in _of_family(pid, "task/*/schedstat"))
    return sum(waited) / 1e9


def proportional_bytes(pid: int) -> int:
    """Memory of a process and its descendants, pages they share counted once (PSS)."""
    lines = (line for rollup in _of_family(pid, "smaps_rollup") for line in rollup.splitlines())
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _of_family(pid: int, file: str) -> Iterator[str]:
    """What this file in /proc, or each of several, says of a process and of each of its descendants that still runs."""
    found = [pid]
    for member in found:
        found += offspring(member)
        for path in Path(f"/proc/{member}").glob(file):
            with suppress(OSError):
                yield path.read_text()
