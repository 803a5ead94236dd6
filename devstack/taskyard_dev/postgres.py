"""A real PostgreSQL from a wheel, with its files in a directory of the stack."""

import shutil
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from taskyard_dev import home, ports, processes
from taskyard_dev.account import Account, server_account
from taskyard_dev.binaries import postgres_programs
from taskyard_dev.errors import ServerFailed
from taskyard_dev.server import PATIENCE, Server

NAME = "taskyard"
TASK_ROLE = "taskyard_task"

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

_STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Postgres(Server):
    """`data` may be a link: where PostgreSQL's account cannot reach the directory, its files are elsewhere."""

    title = "PostgreSQL"
    usual_port = 5432
    defaults = SETTINGS
    port_lost = "could not create any TCP/IP sockets"
    stop_signal = _STOP_SIGNALS["fast"]

    @property
    def account(self) -> Account | None:
        """The account of the server; `None` for the current user."""
        return server_account(self.directory / "data")

    def url(self, database: str = NAME) -> str:
        """The database's address in SQLAlchemy's form."""
        return f"postgresql+psycopg://{NAME}:{self._password}@{ports.LOOPBACK}:{self.port}/{database}"

    def task_url(self, database: str = NAME) -> str:
        """The database's address for tasks: `taskyard-api migrate` and the stack make its role."""
        password = home.secret(self.directory / "task-password")
        return f"postgresql+psycopg://{TASK_ROLE}:{password}@{ports.LOOPBACK}:{self.port}/{database}"

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

    def start(self, *, patience: timedelta = PATIENCE) -> None:
        if self._is_started:
            return
        account = self.account
        home.make_directory(self.directory)
        data = home.place_data(self.directory / "data", account)
        with home.lock(data.parent / "postgres.lock", self.title, patience=patience) as lock:
            home.take_over(data, self.directory / "data")
            self._password = home.secret(self.directory / "password")
            major, programs = postgres_programs(home.number_in(data / "PG_VERSION"), account)
            if not (data / "PG_VERSION").exists():
                self._initialise(major, programs / "initdb", data, account)
            self._forget_stale_pid(data)
            settings = [f"--{name}={value}" for name, value in self._settings.items()]
            self._start_on_a_port(
                lambda port: [programs / "postgres", "-D", data, "-p", str(port), *settings], lock, account
            )
        try:
            self._make_own_database()
        except psycopg.Error as error:
            self.stop()
            raise ServerFailed(f"PostgreSQL on {data} doesn't let us in: {error}") from error

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server: `fast` ends its connections, `immediate` is a crash from which it recovers."""
        self._end(_STOP_SIGNALS[mode])

    def _initialise(self, major: int, initdb: Path, data: Path, account: Account | None) -> None:
        """Make the data directory, under another name until it is complete."""
        fresh, password = data.with_name("data.new"), data.with_name("password.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        home.write_private(password, self._password + "\n")
        if account is not None:
            shutil.chown(fresh, account.uid, account.gid)
            shutil.chown(password, account.uid, account.gid)
        # A built-in locale sorts alike on all machines, independent of the C library.
        command: list[str | Path] = [initdb, "--pgdata", fresh, "--username", NAME, "--pwfile", password]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        if major >= 17:
            command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        process, start = self._spawn(command, signal.SIGKILL, account)
        status = process.wait()
        password.unlink()
        if status != 0:
            raise ServerFailed(f"initdb failed ({status})\n{home.log_since(self.log, start)}")
        fresh.rename(data)

    def _pid_of_another(self) -> int | None:
        pid, _ = self._pid_file()
        return pid if pid and processes.alive(pid) else None

    def _is_ready(self, pid: int) -> bool:
        # A replica's state stays "standby".
        return self._pid_file() in {(pid, "ready"), (pid, "standby")}

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
