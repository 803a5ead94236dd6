"""The outbox of an application's own database, and the relay that submits what stands in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from taskyard.lifecycle import workers
from taskyard.settings import DEFAULT_QUEUES
from taskyard.store import ledger
from taskyard_client import ApiAway, Client, ClientError, Invalid
from taskyard_client.outbox import TABLE, enqueue_in
from taskyard_client.relay import Relay
from tests.support.applications import application
from tests.support.connections import OPENED
from tests.support.scheduling import execute, scalar
from tests.support.served import Served, served
from tests.support.specs import register_kits

ECHO = "diagnostics.echo"
RELAY = Path(sys.executable).parent / "taskyard-client"


@pytest.fixture
def shop(engine: Engine, database_url: str) -> Iterator[str]:
    """The address of the application's database: it knows nothing of the platform."""
    with ledger.connection(engine) as conn:
        workers.ensure_queues(conn, DEFAULT_QUEUES)
    register_kits(engine)
    with application(engine, database_url, grant=False) as url:
        with psycopg.connect(url) as conn:
            conn.execute(TABLE.encode())
        yield url


@pytest.fixture
def api(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Served]:
    with served(database_url, redis_url, tmp_path) as made:
        yield made


def client_of(api: Served) -> Client:
    return Client(f"http://127.0.0.1:{api.port}", api.key)


def rows(shop: str) -> list[Any]:
    with psycopg.connect(shop) as conn:
        return conn.execute("SELECT id, refusal FROM taskyard_outbox ORDER BY created_at").fetchall()


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.mark.parametrize("library", OPENED)
def test_the_row_has_the_fate_of_the_transaction(shop: str, library: str) -> None:
    with OPENED[library](shop) as connection:
        kept = enqueue_in(connection, ECHO, {"value": 1})
    with suppress(Undone), OPENED[library](shop) as connection:
        enqueue_in(connection, ECHO, {"value": 2})
        raise Undone
    assert rows(shop) == [(kept, None)]


def test_what_was_committed_is_submitted_as_it_was_wanted(shop: str, api: Served, engine: Engine) -> None:
    with OPENED["psycopg"](shop) as connection:
        wanted = [
            enqueue_in(connection, ECHO, {"value": n}, tags=["a"], unique={"key": str(n), "while": "active"})
            for n in range(120)
        ]
    with client_of(api) as client:
        assert Relay(shop, client).drain() == 120
    found = execute(engine, "SELECT id, CAST(params ->> 'value' AS int) FROM task WHERE tags = '{a}' ORDER BY id").all()
    assert found == [(task_id, n) for n, task_id in enumerate(wanted)]
    assert rows(shop) == []


def test_a_row_that_was_submitted_before_makes_no_second_task(shop: str, api: Served, engine: Engine) -> None:
    """As after a death between the answer and the deletion: within the life of its idempotency key, and after it."""
    with OPENED["psycopg"](shop) as connection:
        enqueue_in(connection, ECHO, {"value": 1})
    with psycopg.connect(shop) as conn:
        kept = conn.execute("CREATE TEMP TABLE kept AS SELECT * FROM taskyard_outbox")
        with client_of(api) as client:
            conn.commit()
            for forgets in (False, True):
                assert Relay(shop, client).drain() == 1
                conn.execute("INSERT INTO taskyard_outbox SELECT * FROM kept")
                conn.commit()
                if forgets:
                    execute(engine, "DELETE FROM idempotency_key")
            assert Relay(shop, client).drain() == 1
        assert kept.rowcount == 1
    assert scalar(engine, "SELECT count(*) FROM task") == 1
    assert rows(shop) == []


def test_what_the_api_refuses_stays_with_its_words_and_holds_nobody_up(shop: str, api: Served, engine: Engine) -> None:
    with OPENED["psycopg"](shop) as connection:
        bad = enqueue_in(connection, "no.such", {})
        enqueue_in(connection, ECHO, {"value": 1})
    with client_of(api) as client:
        relay = Relay(shop, client)
        assert relay.drain() == 2
        ((row_id, refusal),) = rows(shop)
        assert (row_id, refusal["code"]) == (bad, "unknown_task_type")
        assert scalar(engine, "SELECT count(*) FROM task") == 1
        assert (relay.drain(), relay.retry_refused(), relay.drain()) == (0, 1, 1)


def test_rows_wait_while_the_api_is_away_or_does_not_take_the_key(shop: str, api: Served) -> None:
    with OPENED["psycopg"](shop) as connection:
        enqueue_in(connection, ECHO, {"value": 1})
    away = Client("http://127.0.0.1:1", "ty_x")
    with away, pytest.raises(ApiAway):
        Relay(shop, away).drain()
    wrong = Client(f"http://127.0.0.1:{api.port}", "ty_wrong")
    with wrong, pytest.raises(Exception, match="key"):
        Relay(shop, wrong).drain()
    assert [refusal for _, refusal in rows(shop)] == [None]


@pytest.mark.parametrize(
    ("task", "headers"),
    [
        ("[]", "{}"),
        ("null", "{}"),
        ("{}", "{}"),
        ('{"name": "diagnostics.echo", "params": [1]}', "{}"),
        ('{"name": "diagnostics.echo", "params": {"value": 1}, "other": 1}', "{}"),
        ('{"name": "diagnostics.echo", "params": {"value": 1}, "self": 1}', "{}"),
        ('{"name": "diagnostics.echo", "params": {"value": 1}, "idempotency_key": "x"}', "{}"),
        ('{"name": "diagnostics.echo", "params": {"value": 1e400}}', "{}"),
        (None, "[]"),
        (None, '{"X-Request-ID": 5, "traceparent": null}'),
    ],
)
def test_a_row_that_is_no_submit_is_refused_and_holds_nobody_up(shop: str, task: str | None, headers: str) -> None:
    """Written by the application itself; headers that are none are left out."""
    sent: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content))
        problem = {"code": "id_taken", "detail": "A task has this id."}
        return httpx2.Response(409, json=problem)

    with psycopg.connect(shop) as conn:
        conn.execute(
            "INSERT INTO taskyard_outbox (id, task, passed_on) VALUES (gen_random_uuid(), %s, %s)",
            [task or '{"name": "diagnostics.echo"}', headers],
        )
    with OPENED["psycopg"](shop) as connection:
        behind = enqueue_in(connection, ECHO, {"value": 1})
    with Client("http://api", "ty_x", transport=httpx2.MockTransport(answer)) as client:
        assert Relay(shop, client).drain() == 2
    assert sent[-1]["id"] == str(behind)
    assert [refusal["code"] for _, refusal in rows(shop)] == ["unreadable_row"] * (task is not None)


@pytest.mark.parametrize(
    ("status", "body", "is_refused"),
    [
        (404, b'{"code": "not_found", "detail": "There is nothing at this address."}', False),
        (405, b"", False),
        (400, b"<html>", False),
        (422, b'{"detail": "of another server"}', False),
        (401, b'{"code": "unauthorized"}', False),
        (200, b"<html>", False),
        (302, b"", False),
        (413, b"<html>", True),
        (422, b'{"code": "invalid_request"}', True),
    ],
)
def test_an_address_that_is_wrong_refuses_no_row(shop: str, status: int, body: bytes, is_refused: bool) -> None:
    with OPENED["psycopg"](shop) as connection:
        enqueue_in(connection, ECHO, {"value": 1})
    other = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
    with (
        Client("http://api", "ty_x", transport=other) as client,
        nullcontext() if is_refused else pytest.raises(ClientError),
    ):
        Relay(shop, client).drain()
    assert [refusal is not None for _, refusal in rows(shop)] == [is_refused]


def test_a_slow_api_keeps_no_transaction_open_for_all_rows(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskyard_client.relay._TURN_SECONDS", 0.2)
    with OPENED["psycopg"](shop) as connection:
        for n in range(6):
            enqueue_in(connection, ECHO, {"value": n})

    def slowly(_: httpx2.Request) -> httpx2.Response:
        time.sleep(0.15)
        return httpx2.Response(409, json={"code": "id_taken", "detail": "A task has this id."})

    with (
        Client("http://api", "ty_x", transport=httpx2.MockTransport(slowly)) as client,
        psycopg.connect(shop, autocommit=True) as conn,
    ):
        assert Relay(shop, client).turn(conn) < 6


@pytest.mark.parametrize(
    ("name", "params", "options", "pointer"),
    [
        ("", {}, {}, "/name"),
        (ECHO, [1], {}, "/params"),
        (ECHO, {"value": float("nan")}, {}, "/params/value"),
        (ECHO, {"value": "\x00"}, {}, "/params/value"),
        (ECHO, {"value": json.loads("[" * 31 + "]" * 31)}, {}, "/params/value" + "/0" * 30),
        (ECHO, {"value": "x" * 2**18}, {}, "/params"),
        (ECHO, {"value": SecretStr("s")}, {}, "/params"),
        (ECHO, {}, {"max_attempts": 0}, "/max_attempts"),
        (ECHO, {}, {"id": "1"}, "/id"),
        (ECHO, {}, {"other": 1}, "/other"),
    ],
)
def test_bad_input_is_refused_before_it_is_written(
    shop: str, name: str, params: Any, options: dict[str, Any], pointer: str
) -> None:
    with OPENED["psycopg"](shop) as connection, pytest.raises(Invalid) as caught:
        enqueue_in(connection, name, params, **options)
    assert [place for place, _ in caught.value.errors] == [pointer]
    assert rows(shop) == []


@pytest.mark.long
def test_two_relays_share_the_work_and_one_that_is_killed_loses_nothing(shop: str, api: Served, engine: Engine) -> None:
    """`taskyard-client relay` as a process: killed again and again while rows come in."""

    def start() -> subprocess.Popen[bytes]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
        env |= {
            "TASKYARD_OUTBOX_URL": shop,
            "TASKYARD_URL": f"http://127.0.0.1:{api.port}",
            "TASKYARD_API_KEY": api.key,
        }
        return subprocess.Popen([str(RELAY), "relay"], env=env)

    wanted: set[UUID] = set()
    running = [start(), start()]
    try:
        for n in range(6):
            with OPENED["psycopg"](shop) as connection:
                wanted |= {enqueue_in(connection, ECHO, {"value": n}) for _ in range(60)}
            before = scalar(engine, "SELECT count(*) FROM task")
            until = time.monotonic() + 60
            while scalar(engine, "SELECT count(*) FROM task") < before + 20:
                assert time.monotonic() < until
                time.sleep(0.01)
            killed = running.pop(0)
            killed.kill()
            killed.wait()
            running.append(start())
        until = time.monotonic() + 60
        while rows(shop):
            assert time.monotonic() < until
            time.sleep(0.1)
        for relay in running:
            relay.send_signal(signal.SIGTERM)
        assert [relay.wait(30) for relay in running] == [0, 0]
    finally:
        for relay in running:
            relay.kill()
            relay.wait()
    assert {row.id for row in execute(engine, "SELECT id FROM task")} == wanted


def test_the_command_says_what_is_missing_and_prints_the_table() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    ended = subprocess.run([str(RELAY), "relay"], env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        2,
        "taskyard-client relay: not set: TASKYARD_OUTBOX_URL, TASKYARD_URL, TASKYARD_API_KEY\n",
    )
    ended = subprocess.run([str(RELAY), "outbox-table"], env=env, capture_output=True, text=True, check=True)
    assert "CREATE TABLE IF NOT EXISTS taskyard_outbox" in ended.stdout
