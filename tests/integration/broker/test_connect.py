"""Redis behind TLS and behind Sentinels, and a server that turns into a replica."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from taskyard.broker.connect import make_async_redis, make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.domain.errors import BrokerUnavailable
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Publication
from taskyard.environment import read_settings
from taskyard_dev.servers import Valkey
from tests.support.certificates import Authority
from tests.support.fleet import wait_for
from tests.support.proxy import Proxy
from tests.support.replicas import SentinelServer, replica_of, wait_in_step


def url_of(**given: Any) -> str:
    return read_settings(**given).redis_url.get_secret_value()


def publish(url: str) -> int:
    publisher = make_publisher(url, Names())
    with publisher.client:
        return publisher.publish([Publication(new_id(), "default", 1)])


async def heard(url: str) -> bool:
    client = make_async_redis(url, max_connections=5)
    async with client:
        return bool(await client.ping())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def behind_tls(redis_url: str, authority: Authority, *, wants_clients: bool) -> Iterator[str]:
    """The wheel's server is built without TLS: a proxy in front of it ends TLS, as stunnel does."""
    with redis.Redis.from_url(redis_url) as client:
        plain = client.connection_pool.connection_kwargs
    context = authority.server_context(authority.sign("server"), wants_clients=wants_clients)
    with Proxy((plain["host"], plain["port"]), tls=context) as proxy:
        yield proxy.through(redis_url).replace("redis://", "rediss://")


def test_a_connection_does_not_tell_the_version_of_redis_py_which_it_would_have_to_look_up(redis_url: str) -> None:
    with make_redis(redis_url) as client, redis.Redis.from_url(redis_url) as usual:
        told = {one["id"]: one["lib-name"] for one in client.client_list()}
        told |= {one["id"]: one["lib-name"] for one in usual.client_list()}
        assert (told[str(client.client_id())], told[str(usual.client_id())]) == ("", "redis-py")


def test_tls_with_a_private_authority_and_a_client_certificate(redis_url: str, authority: Authority) -> None:
    mine = authority.sign("client")
    files = {"redis_ca_file": authority.certificate, "redis_cert_file": mine.certificate, "redis_key_file": mine.key}
    with behind_tls(redis_url, authority, wants_clients=True) as address:
        url = url_of(redis_url=address, **files)
        assert publish(url) == 1
        assert asyncio.run(heard(url))
        for refused in (
            url_of(redis_url=address),  # signed by an authority that the system does not know
            url_of(redis_url=address, redis_ca_file=authority.certificate),  # without a certificate
        ):
            with pytest.raises(BrokerUnavailable):
                publish(refused)


def test_a_server_of_another_authority_is_not_trusted(redis_url: str, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    with behind_tls(redis_url, other, wants_clients=False) as address:
        assert publish(url_of(redis_url=address, redis_ca_file=other.certificate)) == 1
        with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
            publish(url_of(redis_url=address, redis_ca_file=authority.certificate))


def test_a_command_finds_redis_by_settings_alone(database_url: str, redis_url: str, authority: Authority) -> None:
    with behind_tls(redis_url, authority, wants_clients=False) as address:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TASKYARD_")},
            "TASKYARD_DATABASE_URL": database_url,
            "TASKYARD_REDIS_URL": address,
            "TASKYARD_REDIS_CA_FILE": str(authority.certificate),
        }
        command = [sys.executable, "-m", "taskyard_api.cli", "check"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "redis" in said.stdout


def test_a_connection_to_a_server_that_became_a_replica_is_not_kept(server_home: Path) -> None:
    """One address, behind which another server is the master now: a connection to the old one is replaced."""
    with (
        Valkey(server_home / "master", port=0) as master,
        replica_of(master, server_home / "replica") as replica,
        Proxy(("127.0.0.1", master.port)) as proxy,
        make_redis(proxy.through(master.url)) as client,
    ):
        client.set("x", 1)
        wait_in_step(master, replica)
        with replica.client() as admin, master.client() as former:
            admin.execute_command("REPLICAOF", "NO", "ONE")
            former.execute_command("REPLICAOF", "127.0.0.1", str(replica.port))
        proxy.target = ("127.0.0.1", replica.port)
        pipe = client.pipeline(transaction=False)
        pipe.set("x", 2)
        pipe.set("x", 3)
        with pytest.raises(redis.ConnectionError, match="replica"):
            pipe.execute()
        assert client.set("x", 4)
        with replica.client() as admin:
            assert admin.get("x") == b"4"


def test_sentinels_lead_to_the_master_and_to_the_next_one(server_home: Path) -> None:
    with ExitStack() as exits:
        master = exits.enter_context(Valkey(server_home / "master", port=0))
        replica = exits.enter_context(replica_of(master, server_home / "replica"))
        wait_in_step(master, replica)
        sentinel = exits.enter_context(SentinelServer(server_home / "sentinel", master))
        # The first Sentinel in the list does not exist: the client asks the next one.
        address = sentinel.url.replace("@", "@127.0.0.1:1,")
        url = url_of(redis_url=address, redis_sentinel_password=SentinelServer.PASSWORD)
        client = exits.enter_context(make_redis(url))
        client.set("x", 1)
        assert publish(url) == 1
        assert asyncio.run(heard(url))
        wait_in_step(master, replica)

        master.kill()

        def written() -> bool:
            with suppress(redis.RedisError):
                return bool(client.set("x", 2))
            return False

        wait_for(written, 20, "a client to reach the promoted one")
        assert sentinel.master_port() == replica.port
        assert publish(url) == 1
        assert asyncio.run(heard(url))
        with pytest.raises(BrokerUnavailable):
            publish(url_of(redis_url=address, redis_sentinel_password="wrong"))
