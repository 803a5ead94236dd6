"""Starting and stopping what is measured, its environment, its processor time and its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from tests.support.fleet import free_port

_BIN = Path(sys.executable).parent
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def service_environment(home: Path, database_url: str, redis_url: str, key: str) -> dict[str, str]:
    """What a service reads, files below `home`; without the settings and import paths of this process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TASKYARD_", "PYTHON", "VIRTUAL_ENV"))}
    return {
        **kept,
        "TASKYARD_DATABASE_URL": database_url,
        "TASKYARD_REDIS_URL": redis_url,
        "TASKYARD_DIAGNOSTICS": "1",
        "TASKYARD_LOG_LEVEL": "warning",
        "TASKYARD_METRICS_PORT": "0",
        "TASKYARD_API_PORT": str(free_port()),
        "TASKYARD_BOOTSTRAP_KEY": key,
        "TASKYARD_SECRET_KEYS": Fernet.generate_key().decode(),
        "TASKYARD_STORAGE_DIR": str(home / "storage"),
        "TASKYARD_HEALTH_FILE": str(home / "alive"),
    }


@contextmanager
def running(
    *command: str, env: dict[str, str], ready: Callable[[], bool], log: Path, seconds: float = 30
) -> Iterator[subprocess.Popen[bytes]]:
    """The command (of this environment, or by its full path), ready; stopped with SIGTERM at the end, with SIGKILL
    where that does not help."""
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
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
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


def processor_seconds(pid: int) -> float:
    """User and system time of a process, its descendants, and those of them that have ended."""
    ticks = 0
    for member in family(pid):
        try:
            stat = Path(f"/proc/{member}/stat").read_text()
        except OSError:
            continue
        # The name, which may hold anything, ends with the last bracket; utime, stime, cutime and cstime (proc(5)).
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS_PER_SECOND


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
