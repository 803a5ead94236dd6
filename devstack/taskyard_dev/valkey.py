"""A real Valkey out of a wheel, with its files in a directory of ours."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskyard_dev import home, ports, processes
from taskyard_dev.binaries import valkey_binary
from taskyard_dev.errors import ServerFailed, StackError

USUAL_PORT = 6379

SETTINGS: Mapping[str, str] = {
    "bind": ports.LOOPBACK,
    "daemonize": "no",
    # The append-only file is what comes back after a crash; a snapshot next to it would only cost.
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    # An eviction would drop queued work; a full server has to say so.
    "maxmemory-policy": "noeviction",
    "maxmemory": "512mb",
    # One for the stack, and one for each test worker.
    "databases": "64",
    "always-show-logo": "no",
}


class Valkey:
    """One server and its data directory; start and stop it as often as you like.

    `directory` holds the password and the configuration (mode 600), the port of last time, the log and
    the data. `port` as for `Postgres`. Once started, this object keeps its port over stops and starts.
    """

    def __init__(self, directory: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.absolute()
        self._wanted_port = port
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._password = ""

    @classmethod
    def running(cls, directory: Path) -> Self:
        """A handle on the server that another process started there; it can't be stopped by it."""
        server = cls(directory)
        server._port = home.remembered_port(server.directory / "port")
        server._password = (server.directory / "password").read_text().strip()
        return server

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on, or listened on before it was stopped."""
        if self._port is None:
            raise StackError("Valkey hasn't been started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process id, or `None` when it isn't running."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        return self._answering_pid() if self._port is not None else None

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def data(self) -> Path:
        """Where its files really are."""
        return (self.directory / "data").resolve()

    @property
    def url(self) -> str:
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The address of one of its numbered databases."""
        return f"redis://:{self._password}@{ports.LOOPBACK}:{self.port}/{number}"

    def client(self, number: int = 0) -> redis.Redis:
        """A client; close it."""
        # Without the library's retries: who asks whether the server is there wants to know now.
        return redis.Redis.from_url(self.database_url(number), socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def start(self, *, within: timedelta = timedelta(seconds=60), patience: timedelta = timedelta(seconds=5)) -> None:
        """Start the server and wait until it answers.

        `patience`: how long a predecessor may take to stop that has just lost its stack.
        Raises `DataDirectoryInUse`, `PortTaken` or `ServerFailed`.
        """
        if self._process is not None and self._process.poll() is None:
            return
        data = self.data
        home.make_directory(data)
        lock = self.directory / "valkey.lock"
        with home.lock(lock, "Valkey", patience=patience) as held:
            self._password = home.secret(self.directory / "password")
            last = self._port or home.remembered_port(self.directory / "port")
            failure: Exception | None = None
            for port in ports.to_try(self._port or self._wanted_port, last=last, usual=USUAL_PORT):
                try:
                    self._start_on(port, data, held, within)
                    break
                except _PortLost as lost:
                    failure = lost
            else:
                raise ServerFailed(f"Valkey found no free port\n{failure}")

    def stop(self, *, within: timedelta = timedelta(seconds=30)) -> None:
        """Stop the server; it writes what it has to disk first."""
        if self._process is None:
            return
        processes.end(self._process, by=signal.SIGTERM, within=within)
        self._process = None

    def kill(self) -> None:
        """`kill -9`: up to a second of writes may be lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start_on(self, port: int, data: Path, lock: int, within: timedelta) -> None:
        settings = {**self._settings, "port": str(port), "dir": f'"{data}"', "requirepass": self._password}
        configuration = self.directory / "valkey.conf"
        # In a file of mode 600: an argument could be read by everybody who can list processes.
        home.write_private(configuration, "".join(f"{name} {value}\n" for name, value in settings.items()))
        log = home.open_log(self.log)
        start = self.log.stat().st_size
        process = processes.spawn(
            [valkey_binary(), configuration], death_signal=signal.SIGTERM, output=log, keep_open=[lock]
        )
        os.close(log)
        self._port = port
        deadline = time.monotonic() + within.total_seconds()
        while self._answering_pid() != process.pid:
            if process.poll() is not None:
                said = home.log_since(self.log, start)
                if "Failed listening on port" in said:
                    raise _PortLost(said)
                raise ServerFailed(f"Valkey ended at its start ({process.returncode})\n{said}")
            if time.monotonic() > deadline:
                processes.kill(process)
                raise ServerFailed(f"Valkey isn't ready\n{home.log_since(self.log, start)}")
            time.sleep(0.02)
        self._process = process
        home.write_private(self.directory / "port", f"{port}\n")

    def _answering_pid(self) -> int | None:
        """Who answers on our port to our password; `None` while it loads its data."""
        with self.client() as client:
            try:
                answer = client.info("server")
            except redis.RedisError:
                return None
        pid: int = answer["process_id"]
        return pid


class _PortLost(ServerFailed):
    """Somebody took the port between our look and the server's bind."""
