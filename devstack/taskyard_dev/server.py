"""What the two servers share: a directory, a password, a port, a process."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from taskyard_dev import home, ports, processes
from taskyard_dev.account import Account
from taskyard_dev.errors import ServerFailed, StackError
from taskyard_dev.ports import Hold

READY_WITHIN_SECONDS = 60
STOPS_WITHIN = timedelta(seconds=30)
# A previous server on the same data may still be stopping.
PATIENCE = timedelta(seconds=5)


class PortLost(ServerFailed):
    """Another program that asked for exactly this port listens on it already."""


class Server(ABC):
    """One server and its data directory. It may be started and stopped repeatedly.

    `directory` holds the password (mode 600), the last port, the log and the data. `port`: `None` takes the last port,
    the usual one or a free one; `0` any free one; a number exactly that one. Once started, this object keeps its port
    over stops and starts.
    """

    title: ClassVar[str]
    usual_port: ClassVar[int]
    defaults: ClassVar[Mapping[str, str]]
    # Part of its log where another program has the port.
    port_lost: ClassVar[str]
    # Shuts it down cleanly. When this process dies, the kernel sends it, so that the next start need not recover.
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, directory: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.absolute()
        self._wanted_port = port
        self._settings = {**self.defaults, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._hold: Hold | None = None
        self._password = ""

    @classmethod
    def running(cls, directory: Path) -> Self:
        """A handle on the server that another process started there; it can use that server, not stop it."""
        server = cls(directory)
        server._attach()
        return server

    def _attach(self) -> None:
        self._port = home.number_in(self.directory / "port")
        self._password = (self.directory / "password").read_text().strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id, or `None` when it isn't running."""
        if self._process is None:
            return self._pid_of_another()
        return self._process.pid if self._is_started else None

    @property
    def port(self) -> int:
        """The port on which it listens, or listened before it was stopped."""
        if self._port is None:
            raise StackError(f"{self.title} hasn't been started")
        return self._port

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def data(self) -> Path:
        """Where its files are, links resolved."""
        return (self.directory / "data").resolve()

    @abstractmethod
    def start(self, *, patience: timedelta = PATIENCE) -> None:
        """Start the server and wait until it answers.

        Raises `DataDirectoryInUse` (after `patience`), `PortTaken` or `ServerFailed`.
        """

    def stop(self) -> None:
        """Shut the server down cleanly."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """`kill -9`, as the OOM killer does: PostgreSQL loses nothing, Valkey up to a second of writes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._release()

    @abstractmethod
    def _pid_of_another(self) -> int | None:
        """The process id of a server that another process started."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Whether the server with this process id answers."""

    @property
    def _is_started(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            processes.end(self._process, by=by, within=STOPS_WITHIN)
            self._process = None
        self._release()

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def _spawn(
        self, command: Sequence[str | Path], by: signal.Signals, account: Account | None, *keep_open: int
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start a program that writes to the log. Also returns the size of the log before."""
        log = home.open_log(self.log)
        start = self.log.stat().st_size
        process = processes.spawn(command, death_signal=by, output=log, account=account, keep_open=keep_open)
        os.close(log)
        return process, start

    def _start_on_a_port(
        self, command: Callable[[int], Sequence[str | Path]], lock: int, account: Account | None = None
    ) -> None:
        """Start the `command` for one port after the other, while another program takes each first.

        The port is held from its choice until the server is stopped, also while a server that ended is started again.
        """
        last = self._port or home.number_in(self.directory / "port")
        failure: Exception | None = None
        wanted = self._port or self._wanted_port
        holds = [self._hold] if self._hold else ports.to_try(wanted, last=last, usual=self.usual_port)
        self._hold = None
        for hold in holds:
            try:
                self._start_on(hold.port, command(hold.port), lock, account)
            except PortLost as lost:
                hold.close()
                failure = lost
            except BaseException:
                hold.close()
                raise
            else:
                self._hold = hold
                return
        raise ServerFailed(f"{self.title} found no free port\n{failure}")

    def _start_on(self, port: int, command: Sequence[str | Path], lock: int, account: Account | None) -> None:
        process, start = self._spawn(command, self.stop_signal, account, lock)
        self._port = port
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._is_ready(process.pid):
            if process.poll() is not None:
                said = home.log_since(self.log, start)
                if self.port_lost in said:
                    raise PortLost(said)
                raise ServerFailed(f"{self.title} ended at its start ({process.returncode})\n{said}")
            if time.monotonic() > deadline:
                processes.kill(process)
                raise ServerFailed(f"{self.title} isn't ready\n{home.log_since(self.log, start)}")
            time.sleep(0.02)
        self._process = process
        home.write_private(self.directory / "port", f"{port}\n")
