"""A real server in this process, on a free port, with real PostgreSQL and Valkey."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from taskyard.domain.api_keys import make_key
from taskyard.domain.errors import LedgerUnavailable
from taskyard.environment import read_settings
from taskyard.settings import Settings
from taskyard.store import api_keys, ledger
from taskyard_api.composition import Service, build
from taskyard_api.listener import listen
from taskyard_api.server import Server
from tests.support.specs import register_kits
from tests.support.tls import TLS

# Of this test process alone: all databases of a server share their channels.
NAMESPACE = "test-" + os.environ.get("PYTEST_XDIST_WORKER", "main")
SECRET_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@dataclass
class Api:
    """A running API and its clients; `http` has an admin key."""

    settings: Settings
    service: Service
    engine: Engine
    url: str
    http: httpx.Client
    server: Server
    _clients: list[httpx.Client] = field(default_factory=list)

    def key(
        self,
        *scopes: str,
        name: str | None = None,
        queues: list[str] | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        return new_key(self.engine, *scopes, name=name, queues=queues, expires_at=expires_at)

    def client(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=TLS)
        self._clients.append(made)
        return made

    def submit(self, name: str = "diagnostics.echo", **more: Any) -> dict[str, Any]:
        body = {"name": name, "params": {"value": 1}, **more}
        answer = self.http.post("/api/v1/tasks", json=body)
        assert answer.status_code == 202, answer.text
        task: dict[str, Any] = answer.json()
        return task

    def count_tasks(self) -> int:
        with self.engine.connect() as conn:
            return int(conn.exec_driver_sql("SELECT count(*) FROM task").scalar_one())


def new_key(engine: Engine, *scopes: str, name: str | None = None, **more: Any) -> str:
    key = make_key()
    with engine.connect() as conn:
        made = api_keys.create(
            conn,
            name=name or f"key-{key.prefix}",
            prefix=key.prefix,
            digest=key.digest,
            scopes=scopes or ("admin",),
            **more,
        )
    assert made is not None
    return key.text


@pytest.fixture
def start_api(engine: Engine, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Starts an API, with a worker that has registered the installed kits and `modules`, unless `registered` is False;
    keyword arguments are settings."""
    running: list[tuple[Server, threading.Thread, Api]] = []

    def start(*, modules: Sequence[str] = (), registered: bool = True, **more: Any) -> Api:
        if registered:
            register_kits(engine, *modules)
        values = {
            "database_url": database_url,
            "redis_url": redis_url,
            "storage_dir": tmp_path / "storage",
            "secret_keys": SECRET_KEY,
            "support_url": "https://support.example.org",
            "db_pool_size": 4,
            "namespace": NAMESPACE,
            **more,
        }
        settings = read_settings(**values)
        service = build(settings)
        listener = listen("127.0.0.1", 0)
        server = Server(service, stop_delay=settings.api_stop_delay)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        http = httpx.Client(base_url=url, timeout=30, verify=TLS)
        try:
            http.headers["Authorization"] = f"Bearer {new_key(engine, 'admin')}"
        except Exception as e:
            ledger.raise_if_away(e)
            raise
        api = Api(settings, service, engine, url, http, server)
        running.append((server, thread, api))
        _wait_until_it_answers(url)
        return api

    yield start
    for server, thread, api in running:
        for client in (api.http, *api._clients):
            client.close()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the API did not stop"


def _wait_until_it_answers(url: str) -> None:
    port = int(url.rpartition(":")[2])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and _alive(url):
                return
        time.sleep(0.02)
    raise LedgerUnavailable("the API did not start")


def _alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=5, verify=TLS).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    return start_api()


@pytest.fixture
def shared_redis(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client
