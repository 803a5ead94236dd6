"""One service of the stack as a process: started, its output shown, restarted when it ends, stopped in time."""

import shutil
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from taskyard.backoff import Backoff
from taskyard_dev import processes
from taskyard_dev.console import Console
from taskyard_dev.errors import StackError

FIRST_PAUSE = timedelta(seconds=0.5)
LONGEST_PAUSE = timedelta(seconds=30)
# After a run of this length, the next end counts as the first.
STABLE_AFTER = timedelta(seconds=60)


def installed(command: str) -> Path:
    """A command of this environment. Raises `StackError` where it isn't installed."""
    here = Path(sysconfig.get_path("scripts")) / command
    found = here if here.exists() else shutil.which(command)
    if found is None:
        raise StackError(f"{command} isn't installed here: run `make install`")
    return Path(found)


@dataclass
class Restarts:
    """How long to wait before the next start: doubled each time, up to half a minute. Without jitter: one machine."""

    clock: Callable[[], float] = time.monotonic
    started: float = 0.0
    _backoff: Backoff = field(
        default_factory=lambda: Backoff(FIRST_PAUSE.total_seconds(), LONGEST_PAUSE.total_seconds(), rand=lambda: 1.0)
    )

    def began(self) -> None:
        self.started = self.clock()

    def next_pause(self) -> timedelta:
        if self.clock() - self.started > STABLE_AFTER.total_seconds():
            self._backoff.reset()
        return timedelta(seconds=self._backoff.next())


@dataclass
class Service:
    """A command that runs until it is asked to stop."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    console: Console
    stop_within: timedelta
    keep_open: Sequence[int] = ()
    """File descriptors that it inherits."""
    ends: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _listener: threading.Thread | None = None
    _restarts: Restarts = field(default_factory=Restarts)
    _start_at: float | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        self._restarts.began()
        self._start_at = None
        # SIGKILL when this process ends: nothing would read its output or wait for it, and its work is safe in the
        # ledger.
        process = processes.spawn(
            self.command,
            death_signal=signal.SIGKILL,
            output=subprocess.PIPE,
            environment=self.environment,
            directory=Path.cwd(),
            keep_open=self.keep_open,
        )
        self._process = process
        self._listener = threading.Thread(target=self._listen, args=[process], daemon=True)
        self._listener.start()

    def tend(self) -> None:
        """Check whether it still runs; where it does not, start it again after a pause."""
        if self._start_at is not None:
            if time.monotonic() >= self._start_at:
                self.start()
        elif self._process is not None and self._process.poll() is not None:
            self.ends += 1
            pause = self._restarts.next_pause()
            self._start_at = time.monotonic() + pause.total_seconds()
            ended = describe_end(self._process.returncode)
            self.console.line(self.name, f"{ended}; starting it again in {pause.total_seconds():g} s")

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        self._start_at = None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait_stopped(self, hurry: threading.Event) -> None:
        """Wait until it has ended; kill it and its session after `stop_within`, or on `hurry`."""
        if self._process is None:
            return
        deadline = time.monotonic() + self.stop_within.total_seconds()
        while self._process.poll() is None:
            late = time.monotonic() > deadline
            if late or hurry.is_set():
                self.console.line(self.name, "doesn't stop, so it's killed" if late else "killed")
                processes.kill(self._process)
                break
            time.sleep(0.02)
        # Its children may have outlived it.
        processes.kill_group(self._process)
        if self._listener is not None:
            self._listener.join(1)
        self._process = None

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.console.line(self.name, line.decode(errors="replace").rstrip())


def describe_end(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}"
