"""Starting a worker's own processes: children that are not forked, and templates."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from taskyard import signals

# Libraries of numbers start threads where they are imported, unless these say so.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_STDIN = 0
_FIRST_OWN = 3  # descriptor after the standard streams


def spawn(module: str, *numbers: int, fds: Sequence[int], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts `python -m module NUMBERS PID`, with our pid, which inherits the descriptors `fds`.

    Only from the main thread: the kernel sends PDEATHSIG when the *thread* that started a process ends. Raises
    OSError.
    """
    # Until it has its handlers. It unblocks them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, numbers), str(os.getpid())],
            pass_fds=fds,
            env=environment,
            stdin=subprocess.DEVNULL,
            process_group=0,  # together with the programs that it starts: see `Handle.reap`
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(slots=True)
class Forked:
    """A process that was forked and not started as a program, and that is the supervisor's child."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


@dataclass(frozen=True, slots=True)
class Begun:
    """A template that waits for its plan, and our end of its line."""

    process: subprocess.Popen[bytes] | Forked
    line: socket.socket


def fork_first(be_template: Callable[[Sequence[str]], int]) -> Begun | None:
    """The first template of a worker, which shares what the supervisor has imported with it. None where this process
    cannot be forked: `spawn_template` does then. Only before it opens anything.

    `be_template` is the main of a template (`child.template.main`). It is imported before, so that it is shared, too: a
    module that is imported later writes to what others have imported.
    """
    if sys.platform != "linux" or len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
        return None
    ours, theirs = socket.socketpair()
    supervisor = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.freeze()  # no collection writes to what they share
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ours.close()
        theirs.close()
        return None
    if pid == 0:
        ours.close()
        line = theirs.detach()
        _be_program(line)
        sys.exit(be_template([str(line), str(supervisor)]))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    return Begun(Forked(pid), ours)


def _be_program(line: int) -> None:
    """As one that `spawn_template` starts."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), _STDIN)
    # Only what is open: without `close_range` (Linux before 5.9) all that may be open would take a second.
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - as above
        if fd >= _FIRST_OWN and fd != line:
            with suppress(OSError):  # that of the listing is closed
                os.close(fd)
    os.environ.update(ONE_THREAD)


def spawn_template() -> Begun:
    """Raises OSError."""
    ours, theirs = socket.socketpair()
    environment = {**os.environ, **ONE_THREAD}
    try:
        process = spawn(
            "taskyard_worker.child.template", theirs.fileno(), fds=[theirs.fileno()], environment=environment
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return Begun(process, ours)


def restored() -> dict[str, str | None]:
    """What a child has in place of the template's own environment."""
    return {name: os.environ.get(name) for name in ONE_THREAD}
