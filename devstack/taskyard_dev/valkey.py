"""A real Valkey from a wheel, with its files in a directory of the stack."""

import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskyard_dev import home, ports
from taskyard_dev.binaries import valkey_binary
from taskyard_dev.server import PATIENCE, Server

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
    port_lost = "Failed listening on port"
    stop_signal = signal.SIGTERM

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

    def start(self, *, patience: timedelta = PATIENCE) -> None:
        if self._is_started:
            return
        home.make_directory(self.data)
        with home.lock(self.directory / "valkey.lock", self.title, patience=patience) as lock:
            self._password = home.secret(self.directory / "password")
            self._start_on_a_port(lambda port: [valkey_binary(), self._configuration(port)], lock)

    def _configuration(self, port: int) -> Path:
        settings = {**self._settings, "port": str(port), "dir": f'"{self.data}"', "requirepass": self._password}
        path = self.directory / "valkey.conf"
        # In a file of mode 600: every user can read the arguments of processes.
        home.write_private(path, "".join(f"{name} {value}\n" for name, value in settings.items()))
        return path

    def _is_ready(self, pid: int) -> bool:
        return self._pid_of_another() == pid

    def _pid_of_another(self) -> int | None:
        """The process id of the server that answers on the port; `None` while it loads its data."""
        if self._port is None:
            return None
        with self.client() as client:
            try:
                answer = client.info()
            except redis.RedisError:
                return None
        pid: int = answer["process_id"]
        return None if answer["loading"] else pid
