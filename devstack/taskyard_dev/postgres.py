"""A real PostgreSQL out of a wheel, with its files in a directory of ours."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psycopg
from psycopg import sql

from taskyard_dev import home, ports, processes
from taskyard_dev.account import Account, server_account
from taskyard_dev.binaries import PostgresBinaries, postgres_binaries
from taskyard_dev.errors import ServerFailed, StackError

USUAL_PORT = 5432
NAME = "taskyard"

# For a machine that does other things too. What makes a commit durable (fsync, synchronous_commit,
# full_page_writes) stays as it is in production: the tests' claims rest on it.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "15s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}

StopMode = Literal["fast", "immediate", "smart"]
_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "smart": signal.SIGTERM}


class Postgres:
    """One server and its data directory; start and stop it as often as you like.

    `directory` holds the password (mode 600), the port of last time, the log and the data. `port`:
    `None` takes last time's, the usual or a free one; `0` any free one; a number exactly that one.
    Once started, this object keeps its port over stops and starts.
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
            raise StackError("PostgreSQL hasn't been started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or `None` when it isn't running."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        pid, _ = self._pid_file()
        return pid if pid and processes.alive(pid) else None

    @property
    def account(self) -> Account | None:
        """Whom the server runs as; `None` for who we are."""
        return server_account(self.directory / "data")

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def data(self) -> Path:
        """Where its files really are."""
        return (self.directory / "data").resolve()

    def url(self, database: str = NAME) -> str:
        """The database's address as SQLAlchemy takes it."""
        return f"postgresql+psycopg://{NAME}:{self._password}@{ports.LOOPBACK}:{self.port}/{database}"

    def connect(self, database: str = NAME) -> psycopg.Connection:
        """A connection that commits each statement, for whoever administers the server."""
        return psycopg.connect(
            host=ports.LOOPBACK,
            port=self.port,
            user=NAME,
            password=self._password,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or as a copy of `template`; its address. Nobody may be in the template."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self.connect("postgres") as connection:
            connection.execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and whoever is connected to it; nothing if there's none of that name."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with self.connect("postgres") as connection:
            connection.execute(statement)

    def start(self, *, within: timedelta = timedelta(seconds=60), patience: timedelta = timedelta(seconds=5)) -> None:
        """Start the server and wait until it takes connections; makes the data directory the first time.

        `patience`: how long a predecessor may take to stop that has just lost its stack.
        Raises `DataDirectoryInUse`, `PortTaken` or `ServerFailed`.
        """
        if self._process is not None and self._process.poll() is None:
            return
        account = self.account
        home.make_directory(self.directory)
        data = home.place_data(self.directory / "data", account)
        lock = data.parent / "postgres.lock"
        with home.lock(lock, "PostgreSQL", patience=patience) as held:
            home.take_over(data, self.directory / "data")
            self._password = home.secret(self.directory / "password")
            binaries = postgres_binaries(_major(data), account)
            if not (data / "PG_VERSION").exists():
                self._initialise(binaries, data, account)
            self._forget_stale_pid(data)
            last = self._port or home.remembered_port(self.directory / "port")
            failure: Exception | None = None
            for port in ports.to_try(self._port or self._wanted_port, last=last, usual=USUAL_PORT):
                try:
                    self._start_on(port, [binaries.postgres, "-D", data], account, held, within)
                    break
                except _PortLost as lost:
                    failure = lost
            else:
                raise ServerFailed(f"PostgreSQL found no free port\n{failure}")
        try:
            self._make_own_database()
        except psycopg.Error as error:
            self.stop()
            raise ServerFailed(f"PostgreSQL on {data} doesn't let us in: {error}") from error

    def stop(self, mode: StopMode = "fast", *, within: timedelta = timedelta(seconds=30)) -> None:
        """Stop the server: `fast` ends its connections, `immediate` is a crash it recovers from."""
        if self._process is None:
            return
        processes.end(self._process, by=_SIGNALS[mode], within=within)
        self._process = None

    def kill(self) -> None:
        """`kill -9` of the postmaster, as for want of memory; its backends follow by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _initialise(self, binaries: PostgresBinaries, data: Path, account: Account | None) -> None:
        """Make the data directory, under another name until it's whole: an interrupted one is no one's."""
        fresh, password = data.with_name("data.new"), data.with_name("password.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        home.write_private(password, self._password + "\n")
        if account is not None:
            shutil.chown(fresh, account.uid, account.gid)
            shutil.chown(password, account.uid, account.gid)
        # A built-in locale: the same order on every machine, whatever its C library thinks.
        command: list[str | Path] = [
            binaries.initdb,
            "--pgdata",
            fresh,
            "--username",
            NAME,
            "--pwfile",
            password,
        ]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        if binaries.major >= 17:
            command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        log = home.open_log(self.log)
        start = self.log.stat().st_size
        process = processes.spawn(command, death_signal=signal.SIGKILL, output=log, account=account)
        os.close(log)
        status = process.wait()
        password.unlink()
        if status != 0:
            raise ServerFailed(f"initdb failed ({status})\n{home.log_since(self.log, start)}")
        fresh.rename(data)

    def _start_on(
        self, port: int, program: list[str | Path], account: Account | None, lock: int, within: timedelta
    ) -> None:
        command = [
            *program,
            "-p",
            str(port),
            *(f"--{name}={value}" for name, value in self._settings.items()),
        ]
        log = home.open_log(self.log)
        start = self.log.stat().st_size
        # Fast shutdown when we die, so that the next start has nothing to recover.
        process = processes.spawn(command, death_signal=signal.SIGINT, output=log, account=account, keep_open=[lock])
        os.close(log)
        deadline = time.monotonic() + within.total_seconds()
        while self._pid_file() != (process.pid, "ready"):
            if process.poll() is not None:
                said = home.log_since(self.log, start)
                if "could not create any TCP/IP sockets" in said:
                    raise _PortLost(said)
                raise ServerFailed(f"PostgreSQL ended at its start ({process.returncode})\n{said}")
            if time.monotonic() > deadline:
                processes.kill(process)
                raise ServerFailed(f"PostgreSQL isn't ready\n{home.log_since(self.log, start)}")
            time.sleep(0.02)
        self._process, self._port = process, port
        home.write_private(self.directory / "port", f"{port}\n")

    def _pid_file(self) -> tuple[int | None, str]:
        """What PostgreSQL writes about itself: process id and state."""
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), lines[7].strip()
        except (FileNotFoundError, IndexError, ValueError):
            return None, ""

    def _forget_stale_pid(self, data: Path) -> None:
        """Remove the pid file of a killed server where its number belongs to somebody else by now.

        PostgreSQL itself recovers from one whose number is free; it would take a stranger for a live
        server. We hold the lock, so there is none.
        """
        pid, _ = self._pid_file()
        if pid is not None and processes.alive(pid):
            (data / "postmaster.pid").unlink()

    def _make_own_database(self) -> None:
        with self.connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
        if known is None:
            self.create_database(NAME)


class _PortLost(ServerFailed):
    """Somebody took the port between our look and the server's bind."""


def _major(data: Path) -> int | None:
    """The version that made a data directory; `None` for a new one."""
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
