"""A real PostgreSQL from a wheel, with its files in a directory of the stack."""

import os
import shutil
import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from taskyard_dev import home, ports, processes
from taskyard_dev.account import Account, server_account
from taskyard_dev.binaries import PostgresBinaries, postgres_binaries
from taskyard_dev.errors import ServerFailed
from taskyard_dev.server import PortLost, Server

NAME = "taskyard"

# For a machine that runs other programs, too. The settings that make commits durable (fsync, synchronous_commit,
# full_page_writes) are those of production, because the tests rely on them.
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


class Postgres(Server):
    """`data` may be a link: where PostgreSQL's account cannot reach the directory, its files are elsewhere."""

    title = "PostgreSQL"
    usual_port = 5432
    defaults = SETTINGS

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or `None` when it isn't running."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        pid, _ = self._pid_file()
        return pid if pid and processes.alive(pid) else None

    @property
    def account(self) -> Account | None:
        """The account of the server; `None` for the current user."""
        return server_account(self.directory / "data")

    def url(self, database: str = NAME) -> str:
        """The database's address in SQLAlchemy's form."""
        return f"postgresql+psycopg://{NAME}:{self._password}@{ports.LOOPBACK}:{self.port}/{database}"

    def connect(self, database: str = NAME) -> psycopg.Connection:
        """A connection in autocommit mode, for administration."""
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
        """Make a database, empty or as a copy of `template`, which must be unused. Returns its address."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self.connect("postgres") as connection:
            connection.execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and end its connections; does nothing where it does not exist."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with self.connect("postgres") as connection:
            connection.execute(statement)

    def start(self, *, within: timedelta = timedelta(seconds=60), patience: timedelta = timedelta(seconds=5)) -> None:
        if self._is_started:
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
            program: list[str | Path] = [binaries.postgres, "-D", data]
            self._start_on_a_port(lambda port: self._start_on(port, program, account, held, within))
        try:
            self._make_own_database()
        except psycopg.Error as error:
            self.stop()
            raise ServerFailed(f"PostgreSQL on {data} doesn't let us in: {error}") from error

    def stop(self, mode: StopMode = "fast", *, within: timedelta = timedelta(seconds=30)) -> None:
        """Stop the server: `fast` ends its connections, `immediate` is a crash from which it recovers."""
        if self._process is None:
            return
        processes.end(self._process, by=_SIGNALS[mode], within=within)
        self._process = None

    def _initialise(self, binaries: PostgresBinaries, data: Path, account: Account | None) -> None:
        """Make the data directory, under another name until it is complete."""
        fresh, password = data.with_name("data.new"), data.with_name("password.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        home.write_private(password, self._password + "\n")
        if account is not None:
            shutil.chown(fresh, account.uid, account.gid)
            shutil.chown(password, account.uid, account.gid)
        # A built-in locale sorts alike on all machines, independent of the C library.
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
        # A fast shutdown when this process dies, so that the next start need not recover.
        process = processes.spawn(command, death_signal=signal.SIGINT, output=log, account=account, keep_open=[lock])
        os.close(log)
        deadline = time.monotonic() + within.total_seconds()
        # A replica's state stays "standby".
        while self._pid_file() not in {(process.pid, "ready"), (process.pid, "standby")}:
            if process.poll() is not None:
                said = home.log_since(self.log, start)
                if "could not create any TCP/IP sockets" in said:
                    raise PortLost(said)
                raise ServerFailed(f"PostgreSQL ended at its start ({process.returncode})\n{said}")
            if time.monotonic() > deadline:
                processes.kill(process)
                raise ServerFailed(f"PostgreSQL isn't ready\n{home.log_since(self.log, start)}")
            time.sleep(0.02)
        self._process, self._port = process, port
        home.write_private(self.directory / "port", f"{port}\n")

    def _pid_file(self) -> tuple[int | None, str]:
        """The process id and the state in PostgreSQL's pid file."""
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), lines[7].strip()
        except (FileNotFoundError, IndexError, ValueError):
            return None, ""

    def _forget_stale_pid(self, data: Path) -> None:
        """Remove the pid file of a killed server whose process id has been reused.

        PostgreSQL ignores a pid file whose process has ended, but would take another process for a running server. This
        process holds the lock, so no server runs.
        """
        pid, _ = self._pid_file()
        if pid is not None and processes.alive(pid):
            (data / "postmaster.pid").unlink()

    def _make_own_database(self) -> None:
        with self.connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
        if known is None:
            self.create_database(NAME)


def _major(data: Path) -> int | None:
    """The version that made a data directory; `None` for a new one."""
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
