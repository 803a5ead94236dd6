"""The service as a process: how it begins to listen, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.integration.api.program import BIN, command, environment
from tests.support.fleet import free_port, metrics_of, wait_for
from tests.support.specs import register_kits

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


def test_it_answers_on_a_socket_that_it_inherits_also_what_came_before_it(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/health/live"
        asked = threads.submit(httpx.get, url, timeout=60)
        serve = [str(BIN / "taskyard-api"), "serve", "--fd", str(listener.fileno())]
        with subprocess.Popen(serve, env=env, pass_fds=[listener.fileno()], text=True) as process, killed(process):
            assert asked.result().status_code == 200


def test_a_descriptor_that_is_no_socket_is_one_line(database_url: str, redis_url: str) -> None:
    ended = command(environment(database_url, redis_url), "serve", "--fd", "99")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        1,
        "taskyard-api: cannot listen on descriptor 99: Bad file descriptor",
    )


def test_a_stop_answers_what_is_in_flight_and_takes_seconds(database_url: str, redis_url: str, engine: Engine) -> None:
    register_kits(engine)
    port = free_port()
    env = environment(database_url, redis_url, TASKYARD_METRICS_PORT=str(port))
    key = json.loads(command(env, "keys", "bootstrap", "--json").stdout)["key"]

    def in_progress() -> float:
        return metrics_of(f"http://127.0.0.1:{port}/metrics")["taskyard_http_requests_in_progress"]

    with (
        served(env) as (process, address),
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=20) as http,
    ):
        task = _first_task(http)
        waited: list[Any] = []
        waiter = threading.Thread(
            target=lambda: waited.append(http.get(f"/api/v1/tasks/{task}?wait=60").json()["state"])
        )
        with http.stream("GET", f"/api/v1/tasks/{task}/events", headers={"Accept": "text/event-stream"}) as stream:
            before = in_progress()
            waiter.start()
            wait_for(lambda: in_progress() > before, what="the waiter to be in flight")
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - started < 8, "it would wait ten seconds for who does not go"
            assert "submitted" in "".join(stream.iter_text())
        waiter.join()
        assert waited == ["queued"]


@pytest.mark.long
def test_a_stop_writes_the_requests_that_were_counted(database_url: str, redis_url: str, engine: Engine) -> None:
    env = environment(database_url, redis_url)
    with served(env) as (process, address):
        for _ in range(7):
            assert httpx.get(f"{address}/api/v1/users/{os.getpid()}", timeout=20).status_code == 401
        with engine.connect() as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM request_count").scalar_one() == 0, "not a row a request"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with engine.connect() as conn:
        rows = "SELECT method, route, status, sum(requests) FROM request_count GROUP BY 1, 2, 3"
        assert [tuple(row) for row in conn.exec_driver_sql(rows)] == [("GET", "/api/v1/users/{user_id}", 401, 7)]


@pytest.mark.long
def test_until_its_stop_it_tells_proxies_to_go_and_answers_what_they_still_send(
    database_url: str, redis_url: str, engine: Engine
) -> None:
    register_kits(engine)
    env = environment(database_url, redis_url, TASKYARD_API_STOP_DELAY_SECONDS="5")
    key = json.loads(command(env, "keys", "bootstrap", "--json").stdout)["key"]
    headers = {"Authorization": f"Bearer {key}"}
    with served(env) as (process, address), httpx.Client(base_url=address, headers=headers, timeout=20) as kept:
        accepted = [_first_task(kept)]
        assert httpx.get(f"{address}/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{address}/health/ready").status_code == 503, what="not to be ready")
        assert httpx.get(f"{address}/health/ready").json()["code"] == "stopping"
        assert httpx.get(f"{address}/health/live").status_code == 200
        # On the connection that was open before the signal, and on a new one: neither is to be used once more.
        for http in (kept, httpx.Client(base_url=address, headers=headers, timeout=20)):
            answer = http.post("/api/v1/tasks", json=ECHO)
            assert (answer.status_code, answer.headers["Connection"]) == (202, "close")
            accepted.append(answer.json()["id"])
            http.close()
        assert process.poll() is None
        assert process.wait(30) == 0
    with engine.connect() as conn:
        assert {str(row[0]) for row in conn.exec_driver_sql("SELECT id FROM task")} == set(accepted)


@contextmanager
def served(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`taskyard-api serve` as a process, and its address."""
    with (
        subprocess.Popen([str(BIN / "taskyard-api"), "serve"], env=env, stderr=subprocess.PIPE, text=True) as process,
        killed(process),
    ):
        assert process.stderr is not None
        port = next(json.loads(line)["port"] for line in process.stderr if line.startswith("{") and '"serving"' in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, f"http://127.0.0.1:{port}"


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends it where the test fails: its `with` would wait for it."""
    try:
        yield
    finally:
        process.kill()


def _first_task(http: httpx.Client) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            answer = http.post("/api/v1/tasks", json={"name": "diagnostics.echo", "params": {"value": 1}})
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            continue
        assert answer.status_code == 202
        return str(answer.json()["id"])
