"""What the two servers share: a directory, a password, a port, a process."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from taskyard_dev import home, ports
from taskyard_dev.errors import ServerFailed, StackError


class PortLost(ServerFailed):
    """Another program took the port after it was found free and before the server bound it."""


class Server(ABC):
    """One server and its data directory. It may be started and stopped repeatedly.

    `directory` holds the password (mode 600), the last port, the log and the data. `port`: `None` takes the last port,
    the usual one or a free one; `0` any free one; a number exactly that one. Once started, this object keeps its port
    over stops and starts.
    """

    title: ClassVar[str]
    usual_port: ClassVar[int]
    defaults: ClassVar[Mapping[str, str]]

    def __init__(self, directory: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.absolute()
        self._wanted_port = port
        self._settings = {**self.defaults, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._password = ""

    @classmethod
    def running(cls, directory: Path) -> Self:
        """A handle on the server that another process started there; it can use that server, not stop it."""
        server = cls(directory)
        server._attach()
        return server

    def _attach(self) -> None:
        self._port = home.remembered_port(self.directory / "port")
        self._password = (self.directory / "password").read_text().strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

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
    def start(self, *, within: timedelta = timedelta(seconds=60), patience: timedelta = timedelta(seconds=5)) -> None:
        """Start the server and wait until it answers.

        `patience`: how long to wait for a previous server on the same data that is still stopping.
        Raises `DataDirectoryInUse`, `PortTaken` or `ServerFailed`.
        """

    @abstractmethod
    def stop(self) -> None:
        """Shut the server down cleanly."""

    def kill(self) -> None:
        """`kill -9`, as the OOM killer does: PostgreSQL loses nothing, Valkey up to a second of writes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _is_started(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start_on_a_port(self, start_on: Callable[[int], None]) -> None:
        """Calls `start_on` with one port after the other, while it raises `PortLost`."""
        last = self._port or home.remembered_port(self.directory / "port")
        failure: Exception | None = None
        for port in ports.to_try(self._port or self._wanted_port, last=last, usual=self.usual_port):
            try:
                start_on(port)
                break
            except PortLost as lost:
                failure = lost
        else:
            raise ServerFailed(f"{self.title} found no free port\n{failure}")
