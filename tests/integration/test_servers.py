"""The embedded servers keep their promises through kills and restarts."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskyard_dev import processes
from taskyard_dev.errors import DataDirectoryInUse, PortTaken, ServerFailed
from taskyard_dev.postgres import Postgres
from taskyard_dev.server import Server
from taskyard_dev.valkey import Valkey
from tests.support.fleet import wait_for

AS_ROOT = os.geteuid() == 0


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    """A server of another program; yields its port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield other.getsockname()[1]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", [Postgres, Valkey])
class TestEither:
    def test_refuses_a_data_directory_that_a_live_server_holds(self, kind: type[Server], server_home: Path) -> None:
        with kind(server_home / "server", port=0) as server:
            with pytest.raises(DataDirectoryInUse, match=r"another stack is running on .*server"):
                kind(server_home / "server", port=0).start(patience=timedelta(seconds=0.1))
            assert server.pid is not None

    def test_takes_another_port_when_its_own_is_taken(self, kind: type[Server], server_home: Path) -> None:
        with kind(server_home / "server", port=0) as server:
            port = server.port
        with listener(port), kind(server_home / "server") as server:
            assert server.port != port

    def test_reports_that_the_requested_port_is_taken(self, kind: type[Server], server_home: Path) -> None:
        with listener() as port, pytest.raises(PortTaken, match=str(port)):
            kind(server_home / "server", port=port).start()

    def test_shows_the_servers_log_when_it_does_not_start(self, kind: type[Server], server_home: Path) -> None:
        with pytest.raises(ServerFailed, match="no_such_setting"):
            kind(server_home / "server", port=0, settings={"no_such_setting": "1"}).start()


class TestPostgres:
    def test_keeps_its_data_port_and_password_between_starts(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0) as first:
            with first.connect() as connection:
                connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            url = first.url()
        started = time.monotonic()
        with Postgres(server_home / "pg") as second, second.connect() as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
            assert second.url() == url
        assert time.monotonic() - started < 20

    def test_is_as_durable_as_production(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0) as server, server.connect() as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)

    def test_wants_the_password_and_listens_on_loopback_only(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0) as server:
            wrong = f"host=127.0.0.1 port={server.port} user=taskyard dbname=taskyard"
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(wrong + " password=wrong")
            with server.connect() as connection:
                assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
                assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
        assert mode(server_home / "pg" / "password") == 0o600

    def test_recovers_from_kill_9_on_the_same_port(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0) as server:
            port = server.port
            with server.connect() as connection:
                connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
                server.kill()
                assert server.pid is None
                server.start()
            assert server.port == port
            with server.connect() as connection:
                assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)

    def test_stops_and_starts_on_the_same_port_with_clients_connected(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0) as server:
            port = server.port
            for stop_mode in ("fast", "immediate"):
                connection = server.connect()
                server.stop(stop_mode)
                assert server.pid is None
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
                connection.close()
                server.start()
                assert server.port == port

    def test_removes_the_pid_file_of_a_dead_server_whose_process_id_was_reused(self, server_home: Path) -> None:
        server = Postgres(server_home / "pg", port=0)
        server.start()
        server.kill()
        pid_file = server_home / "pg" / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        # The process id of any running process would do.
        stranger = processes.spawn(
            ["/bin/sleep", "60"],
            death_signal=signal.SIGKILL,
            output=subprocess.DEVNULL,
            account=server.account,
        )
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        try:
            server.start()
            server.stop()
        finally:
            processes.kill(stranger)

    def test_an_interrupted_first_start_does_not_break_the_next(self, server_home: Path) -> None:
        half = server_home / "pg" / "data.new"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        (server_home / "pg").chmod(0o711)
        with Postgres(server_home / "pg", port=0) as server:
            assert server.pid is not None

    def test_reports_a_password_that_was_changed_outside(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0):
            pass
        (server_home / "pg" / "password").write_text("another one")
        server = Postgres(server_home / "pg", port=0)
        with pytest.raises(ServerFailed, match="password authentication failed"):
            server.start()
        assert server.pid is None

    def test_copies_a_database(self, postgres: Postgres) -> None:
        template, copy = f"template_{os.getpid()}", f"copy_{os.getpid()}"
        with psycopg.connect(_dsn(postgres.create_database(template))) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with psycopg.connect(_dsn(postgres.create_database(copy, template))) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        for name in (template, copy):
            postgres.drop_database(name)

    @pytest.mark.skipif(not AS_ROOT, reason="only root has to change the account")
    def test_run_by_root_it_works_as_another_account(self, server_home: Path) -> None:
        with Postgres(server_home / "pg", port=0) as server:
            assert psutil.Process(server.pid).uids().effective != 0
        assert mode(server_home / "pg" / "data") == 0o700

    @pytest.mark.skipif(not AS_ROOT, reason="only root has to change the account")
    def test_run_by_root_in_a_closed_directory_it_keeps_its_data_elsewhere(self, server_home: Path) -> None:
        closed = server_home / "home"
        closed.mkdir(mode=0o700)
        directory = closed / "checkout" / ".taskyard" / "postgres"
        elsewhere = None
        try:
            with Postgres(directory, port=0) as server:
                elsewhere = (directory / "data").resolve()
                assert server.pid is not None
                assert not elsewhere.is_relative_to(closed)
                assert mode(elsewhere) == 0o700
                with server.connect() as connection:
                    connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            assert mode(closed) == 0o700
            with Postgres(directory, port=0) as again, again.connect() as connection:
                assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
            shutil.rmtree(directory)
            with Postgres(directory, port=0) as anew, anew.connect() as connection:
                assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
        finally:
            if elsewhere is not None:
                shutil.rmtree(elsewhere.parent)


class TestValkey:
    def test_keeps_its_data_between_starts_and_over_kill_9(self, server_home: Path) -> None:
        with Valkey(server_home / "valkey", port=0) as server:
            with server.client() as client:
                client.rpush("queue", "one")
            url = server.url
            server.stop()
            server.start()
            with server.client() as client:
                client.rpush("queue", "two")
                time.sleep(1.2)  # appendfsync everysec
            server.kill()
            server.start()
            assert server.url == url
            with server.client() as client:
                assert client.lrange("queue", 0, -1) == [b"one", b"two"]

    def test_wants_the_password_and_never_evicts(self, server_home: Path) -> None:
        with Valkey(server_home / "valkey", port=0) as server:
            with (
                redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
                pytest.raises(redis.AuthenticationError),
            ):
                stranger.ping()
            with server.client() as client:
                assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
                assert client.config_get("appendonly")["appendonly"] == "yes"
                assert client.config_get("bind")["bind"] == "127.0.0.1"
            arguments = psutil.Process(server.pid).cmdline()
            assert server.url.split(":")[2].split("@")[0] not in " ".join(arguments)
        assert mode(server_home / "valkey" / "password") == 0o600
        assert mode(server_home / "valkey" / "valkey.conf") == 0o600

    def test_is_started_once_its_data_is_loaded(self, server_home: Path) -> None:
        # It answers this often while it loads.
        settings = {"loading-process-events-interval-bytes": "1024"}
        server = Valkey(server_home / "valkey", port=0, settings=settings)
        with server, server.client() as client, client.pipeline(transaction=False) as pipe:
            for number in range(100_000):
                pipe.set(f"key-{number}", "x" * 50)
            pipe.execute()
        with server, server.client() as client:
            assert client.dbsize() == 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal")
class TestWithoutTheirParent:
    def test_both_end_when_it_is_killed_and_start_again(self, server_home: Path) -> None:
        parent = subprocess.Popen(
            [sys.executable, "-m", "taskyard_dev.servers", "--data-dir", str(server_home)],
            stdout=subprocess.PIPE,
        )
        assert parent.stdout is not None
        with parent.stdout as lines:
            next(lines), next(lines)
        postgres, valkey = Postgres.running(server_home / "postgres"), Valkey.running(server_home / "valkey")
        pids = [postgres.pid, valkey.pid]
        parent.kill()
        parent.wait()
        # At once: the lock waits for the old servers.
        with Postgres(server_home / "postgres") as again, Valkey(server_home / "valkey") as too:
            assert again.pid not in pids
            assert too.pid not in pids
        for pid in pids:
            assert pid is not None
            wait_for(lambda pid=pid: not processes.alive(pid), 20, "the server to end")  # type: ignore[misc]

    def test_a_server_outlives_the_thread_that_started_it(self, server_home: Path) -> None:
        server = Valkey(server_home / "valkey", port=0)
        thread = Thread(target=server.start)
        thread.start()
        thread.join()
        time.sleep(0.2)
        assert server.pid is not None
        server.stop()


def _dsn(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
