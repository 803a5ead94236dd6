"""A real Valkey from a wheel, with its files in a directory of the stack."""

import os
import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskyard_dev import home, ports, processes
from taskyard_dev.binaries import valkey_binary
from taskyard_dev.errors import ServerFailed
from taskyard_dev.server import PortLost, Server

SETTINGS: Mapping[str, str] = {
    "bind": ports.LOOPBACK,
    "daemonize": "no",
    # The append-only file is enough to recover from a crash; snapshots would cost time for nothing.
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    # Evictions would drop queued work; a full server has to refuse writes.
    "maxmemory-policy": "noeviction",
    "maxmemory": "512mb",
    # One for the stack and one for each test worker.
    "databases": "64",
    "always-show-logo": "no",
}


class Valkey(Server):
    """Its configuration (mode 600) holds the password, too."""

    title = "Valkey"
    usual_port = 6379
    defaults = SETTINGS

    @property
    def pid(self) -> int | None:
        """The server's process id, or `None` when it isn't running."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        return self._answering_pid() if self._port is not None else None

    @property
    def url(self) -> str:
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The address of one of its numbered databases."""
        return f"redis://:{self._password}@{ports.LOOPBACK}:{self.port}/{number}"

    def client(self, number: int = 0) -> redis.Redis:
        """A new client, which the caller closes."""
        # Without redis-py's retries: checks whether the server answers must fail at once.
        return redis.Redis.from_url(self.database_url(number), socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def start(self, *, within: timedelta = timedelta(seconds=60), patience: timedelta = timedelta(seconds=5)) -> None:
        if self._is_started:
            return
        data = self.data
        home.make_directory(data)
        lock = self.directory / "valkey.lock"
        with home.lock(lock, "Valkey", patience=patience) as held:
            self._password = home.secret(self.directory / "password")
            self._start_on_a_port(lambda port: self._start_on(port, data, held, within))

    def stop(self, *, within: timedelta = timedelta(seconds=30)) -> None:
        """Stop the server; it writes its data to disk first."""
        if self._process is None:
            return
        processes.end(self._process, by=signal.SIGTERM, within=within)
        self._process = None

    def _start_on(self, port: int, data: Path, lock: int, within: timedelta) -> None:
        settings = {**self._settings, "port": str(port), "dir": f'"{data}"', "requirepass": self._password}
        configuration = self.directory / "valkey.conf"
        # In a file of mode 600: every user can read the arguments of processes.
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
                    raise PortLost(said)
                raise ServerFailed(f"Valkey ended at its start ({process.returncode})\n{said}")
            if time.monotonic() > deadline:
                processes.kill(process)
                raise ServerFailed(f"Valkey isn't ready\n{home.log_since(self.log, start)}")
            time.sleep(0.02)
        self._process = process
        home.write_private(self.directory / "port", f"{port}\n")

    def _answering_pid(self) -> int | None:
        """The process id of the server that answers on the port; `None` while it loads its data."""
        with self.client() as client:
            try:
                answer = client.info()
            except redis.RedisError:
                return None
        pid: int = answer["process_id"]
        return None if answer["loading"] else pid
