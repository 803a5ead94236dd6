"""Starting and stopping what is measured, and its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BIN = Path(sys.executable).parent


@contextmanager
def running(
    *command: str, env: dict[str, str], ready: Callable[[], bool], log: Path, seconds: float = 30
) -> Iterator[subprocess.Popen[bytes]]:
    """The command, ready; stopped with SIGTERM at the end, with SIGKILL where that does not help."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [_BIN / command[0], *command[1:]],
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(lambda: process.poll() is not None or ready(), seconds, f"{command[0]} (see {log})")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}; see {log}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def wait_for(condition: Callable[[], bool], seconds: float, what: str, *, every: float = 0.01) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)


def family(pid: int) -> list[int]:
    """A process and all that descends from it."""
    found = [pid]
    for parent in found:
        try:
            found += [int(p) for p in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except OSError:
            continue
    return found


def proportional_bytes(pid: int) -> int:
    """Memory of a process and its descendants, pages they share counted once (PSS)."""
    total = 0
    for member in family(pid):
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return total
