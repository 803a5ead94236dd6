"""Starts programs that end with this process, and ends them in time."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import IO

from taskyard_dev.account import TETHER, Account


@cache
def _spawner() -> ThreadPoolExecutor:
    # The kernel sends the death signal when the thread that forked ends, not its process. So one thread, which lives as
    # long as the process, forks all programs.
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
    """Start `program` in its own session, so that Ctrl-C on the terminal reaches only this process.

    When this process ends, for whatever reason, the kernel sends `death_signal` to the program (on Linux). `output`
    takes both of its streams. `keep_open` are file descriptors that it inherits.
    """
    command = [*TETHER, "--parent", str(os.getpid()), "--signal", str(int(death_signal))]
    if account is not None:
        command += ["--user", account.tether_argument]
    started = _spawner().submit(
        subprocess.Popen,
        [*command, "--", *map(str, program)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=directory,
        pass_fds=tuple(keep_open),
        start_new_session=True,
    )
    return started.result()


def end(process: subprocess.Popen[bytes], *, by: signal.Signals, within: timedelta) -> None:
    """Send the signal `by` and wait. What does not end within that time is killed, with its process group."""
    process.send_signal(by)
    try:
        process.wait(within.total_seconds())
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and its group, and wait until it's gone."""
    kill_group(process)
    process.kill()
    process.wait()


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """SIGKILL to what is left of the process group with this leader."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process with this id runs, of any user. A zombie does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        # The state follows the name, which may contain anything, even brackets.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not Path("/proc/self/stat").exists()
    return state not in {"Z", "X"}
