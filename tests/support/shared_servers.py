"""One server pair for a test session, shared by all its processes (pytest-xdist)."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from taskyard_dev.home import write_private
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.task_role import prepare

TEMPLATE = "taskyard_template"
# Nobody stops or kills the shared server; and processes that die, it among them, lose nothing that the kernel has.
# Tests of what is durable have servers of their own, with the settings of production.
_AS_IF_NO_MACHINE_FAILED = {"fsync": "off", "full_page_writes": "off"}


class SharedServers:
    """Whoever asks first starts the pair; it stops when the last one has left.

    `meeting_place` is a directory that all processes of the session know. Each user holds a shared lock
    there, and the kernel drops it when that process dies, however it dies.
    """

    def __init__(self, meeting_place: Path) -> None:
        self._place = meeting_place
        self._address = meeting_place / "servers-home"
        self._users = os.open(meeting_place / "servers-users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._started = False
        self.postgres: Postgres
        self.valkey: Valkey

    def join(self) -> None:
        """Start the pair, or find the one that runs."""
        with self._alone():
            fcntl.flock(self._users, fcntl.LOCK_SH)
            if self._address.exists() and self._found_running(self._home()):
                return
            # The first of the session; or whoever started them has crashed, and the data is still there.
            home = self._home()
            self.postgres = Postgres(home / "postgres", port=0, settings=_AS_IF_NO_MACHINE_FAILED)
            self.valkey = Valkey(home / "valkey", port=0)
            self._started = True
            self.valkey.start()
            self.postgres.start()
            write_private(self._address, str(home))

    def leave(self) -> None:
        """Let go; whoever started the servers waits for the others and stops them.

        Not in a fixture: the wait would count against the time-out of some test.
        """
        if not self._started:
            os.close(self._users)
            return
        parent = os.getppid()
        while not self._ended() and os.getppid() == parent:
            time.sleep(0.1)

    @contextmanager
    def migrated_template(self) -> Iterator[str]:
        """The name of a database at the newest schema, to be copied while this lasts; made once."""
        made = self._home() / "template-made"
        with self._alone():
            if not made.exists():
                from taskyard.store import migrate

                self.postgres.drop_database(TEMPLATE)
                url = self.postgres.create_database(TEMPLATE)
                migrate.upgrade(url)
                prepare(url)  # copies of the database have its grants
                self._close_to_connections(TEMPLATE)
                made.touch()
        yield TEMPLATE

    def _close_to_connections(self, database: str) -> None:
        # A single connection left in a template, by a pool or by autovacuum, makes copying it fail.
        with self.postgres.connect("postgres") as connection:
            connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])

    def _ended(self) -> bool:
        with self._alone():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            home = self._home()
            self._address.unlink(missing_ok=True)
            # Nobody will read this data again, so nothing has to be written for it.
            self.postgres.stop("immediate")
            self.valkey.stop()
            shutil.rmtree(home)
            os.close(self._users)
            return True

    def _home(self) -> Path:
        """Where the pair's files are. Not below pytest's directory, which is closed to other accounts:
        run by root, PostgreSQL works as one of those.
        """
        with suppress(FileNotFoundError):
            return Path(self._address.read_text())
        home = Path(tempfile.mkdtemp(prefix="taskyard-tests-"))
        home.chmod(0o711)
        return home

    def _found_running(self, home: Path) -> bool:
        self.postgres, self.valkey = Postgres.running(home / "postgres"), Valkey.running(home / "valkey")
        try:
            self.postgres.connect().close()
        except psycopg.OperationalError:
            return False
        return self.valkey.pid is not None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._place / "servers-lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
