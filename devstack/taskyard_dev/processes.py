"""Start programs that end with this process, and end them in time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import IO

from taskyard_dev.account import Account

TETHER = Path(__file__).with_name("tether.py")


@cache
def _spawner() -> ThreadPoolExecutor:
    # The kernel ties the death signal to the thread that forked, not to its process: a server started
    # from a thread that ends would end with it. So one thread, as long-lived as the process, forks all.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(
    program: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    output: int | IO[bytes],
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path = Path("/"),
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `program` in a session of its own, so that Ctrl-C on the terminal reaches only this process.

    When this process ends, however it ends, the kernel sends the program `death_signal` (on Linux).
    `output` takes both its streams. `keep_open` are file descriptors it inherits.
    """
    command = [sys.executable, "-I", "-S", str(TETHER), "--parent", str(os.getpid())]
    command += ["--signal", str(int(death_signal))]
    if account is not None:
        command += ["--user", account.tether_argument]
    command += ["--", *map(str, program)]
    return (
        _spawner()
        .submit(
            subprocess.Popen,
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
            pass_fds=tuple(keep_open),
            start_new_session=True,
        )
        .result()
    )


def end(process: subprocess.Popen[bytes], *, by: signal.Signals, within: timedelta) -> bool:
    """Send `by` and wait; `True` when the process had ended by itself within that time.

    One that hasn't is killed with everything in its session.
    """
    if process.poll() is not None:
        return True
    process.send_signal(by)
    try:
        process.wait(within.total_seconds())
    except subprocess.TimeoutExpired:
        kill(process)
        return False
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and its group, and wait until it's gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def alive(pid: int) -> bool:
    """Whether a process of this id runs, whoever owns it. One that only waits to be reaped doesn't."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        # The state stands after the name, which may hold anything, brackets too.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not Path("/proc/self/stat").exists()
    return state not in {"Z", "X"}


def gone(pid: int, *, within: timedelta) -> bool:
    """Wait for a process that isn't our child to end."""
    deadline = time.monotonic() + within.total_seconds()
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill_session(leader: int) -> None:
    """SIGKILL to whatever is left of the group that a process of ours led."""
    os.killpg(leader, signal.SIGKILL)
