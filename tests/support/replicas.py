"""Servers that follow other servers: replicas of Valkey and what watches over them, standbys of PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from taskyard_dev import home, ports, processes
from taskyard_dev.binaries import valkey_binary
from taskyard_dev.postgres import NAME
from taskyard_dev.servers import Postgres, Valkey
from tests.support.fleet import free_port, wait_for


def password_of(server: Valkey) -> str:
    return (server.directory / "password").read_text().strip()


def replica_of(master: Valkey, directory: Path) -> Valkey:
    """A replica, not started, that lets the same people in; it follows its master for as long as that lives."""
    with master.client() as leader:
        leader.config_set("repl-diskless-sync-delay", 0)  # it would wait five seconds for more replicas
    home.make_directory(directory)
    home.write_private(directory / "password", password_of(master) + "\n")
    follow = {"replicaof": f"{ports.LOOPBACK} {master.port}", "masterauth": password_of(master)}
    return Valkey(directory, port=0, settings=follow)


def wait_in_step(master: Valkey, replica: Valkey) -> None:
    """Waits until the replica has everything that its master has."""
    with master.client() as leader, replica.client() as follower:

        def in_step() -> bool:
            theirs = follower.info("replication")
            ours = leader.info("replication")
            up = theirs.get("master_link_status") == "up"
            return up and bool(theirs["slave_repl_offset"] == ours["master_repl_offset"])

        wait_for(in_step, 20, "the replica to be in step")


def standby_of(primary: Postgres, directory: Path, *, through: int) -> Postgres:
    """A standby, not started, made from the files of a stopped primary; it streams from that port, over which its
    replication can be cut."""
    home.make_directory(directory)
    password = (primary.directory / "password").read_text().strip()
    home.write_private(directory / "password", password + "\n")
    copy_data(primary.data, directory / "data")
    owner = primary.data.stat()
    follow = (
        f"primary_conninfo = 'host={ports.LOOPBACK} port={through} user={NAME} password={password}'\n"
        "wal_retrieve_retry_interval = '200ms'\n"
    )
    for name, text in (("standby.signal", ""), ("postgresql.auto.conf", follow)):
        made = directory / "data" / name
        made.write_text(text)
        os.chown(made, owner.st_uid, owner.st_gid)
    return Postgres(directory, port=0)


def wait_streaming(primary: Postgres) -> None:
    """Waits until the one standby has replayed all that the primary has written."""
    query = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
    with primary.connect() as connection:

        def in_step() -> bool:
            row = connection.execute(query).fetchone()
            return row is not None and row[0] == 1

        wait_for(in_step, 20, "the standby to be in step")


def promote(standby: Postgres) -> None:
    with standby.connect() as connection:
        row = connection.execute("SELECT pg_promote(wait_seconds => 20)").fetchone()
    assert row == (True,)


def copy_data(source: Path, target: Path) -> None:
    """The files of a stopped server, with their owners."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("postmaster.pid"))
    for path in (target, *target.rglob("*")):
        owner = (source / path.relative_to(target)).stat()
        os.chown(path, owner.st_uid, owner.st_gid)


class SentinelServer:
    """One Sentinel that alone decides that a master is gone, after half a second."""

    SERVICE = "yard"
    PASSWORD = "of-the-sentinel"

    def __init__(self, directory: Path, master: Valkey) -> None:
        directory.mkdir()
        self.port = free_port()
        self._log = directory / "log"
        self._configuration = directory / "sentinel.conf"  # which it rewrites
        self._configuration.write_text(
            f"port {self.port}\nbind {ports.LOOPBACK}\ndir {directory}\nrequirepass {self.PASSWORD}\n"
            f"sentinel monitor {self.SERVICE} {ports.LOOPBACK} {master.port} 1\n"
            f"sentinel auth-pass {self.SERVICE} {password_of(master)}\n"
            f"sentinel down-after-milliseconds {self.SERVICE} 500\n"
            f"sentinel failover-timeout {self.SERVICE} 5000\n"
        )
        self._url = f"redis+sentinel://:{password_of(master)}@{ports.LOOPBACK}:{self.port}/{self.SERVICE}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the service, with the servers' password; clients need the Sentinel's as well."""
        return self._url

    def __enter__(self) -> Self:
        log = home.open_log(self._log)
        self._process = processes.spawn(
            [valkey_binary(), self._configuration, "--sentinel"], death_signal=signal.SIGKILL, output=log
        )
        os.close(log)
        wait_for(lambda: self._replicas() == 1, 30, "the Sentinel to know the replica")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            processes.kill(self._process)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.PASSWORD, socket_timeout=5)

    def master_port(self) -> int:
        with self.client() as client:
            return int(client.sentinel_masters()[self.SERVICE]["port"])

    def _replicas(self) -> int:
        try:
            with self.client() as client:
                return int(client.sentinel_masters()[self.SERVICE]["num-slaves"])
        except redis.RedisError:
            time.sleep(0.05)
            return -1
