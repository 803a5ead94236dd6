"""submit_in of the client: checked with the API's words before anything is written, then of the transaction's fate."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from pydantic import BaseModel, SecretStr
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from taskyard.lifecycle import workers
from taskyard.settings import DEFAULT_QUEUES
from taskyard.store import ledger
from taskyard_client import ApiRefused, Invalid, NotAllowed, passing_on
from taskyard_client.transaction import NotInTransaction, submit_in, submit_in_async
from tests.support.applications import application
from tests.support.connections import OPENED, django_connection
from tests.support.scheduling import execute, scalar
from tests.support.served import Served, served
from tests.support.specs import register_kits, register_worker, spec_named

ECHO = "diagnostics.echo"
NEXT_WEEK = datetime.now(UTC) + timedelta(days=7)


def by_name(engine: Engine) -> list[dict[str, Any]]:
    return [dict(row) for row in execute(engine, "SELECT * FROM task ORDER BY created_at").mappings()]


def is_untouched(engine: Engine) -> bool:
    return not scalar(engine, "SELECT EXISTS (SELECT FROM task) OR EXISTS (SELECT FROM application_outbox)")


@pytest.mark.parametrize("library", OPENED)
def test_the_task_has_the_fate_of_the_transaction(app: str, engine: Engine, library: str) -> None:
    with OPENED[library](app) as connection:
        kept = submit_in(connection, ECHO, {"value": 1}, queue="high_priority", tags=["a"])
        assert is_untouched(engine)
    with suppress(Undone), OPENED[library](app) as connection:
        submit_in(connection, ECHO, {"value": 2})
        raise Undone
    (task,) = by_name(engine)
    assert (task["id"], task["params"], task["queue"]) == (kept, {"value": 1}, "high_priority")


def test_asynchronous_connections_submit_too(app: str, engine: Engine) -> None:
    async def submit() -> list[UUID]:
        made = []
        async with await psycopg.AsyncConnection.connect(app) as conn:
            made.append(await submit_in_async(conn, ECHO, {"value": 1}))
        other = create_async_engine(app.replace("postgresql://", "postgresql+psycopg://"))
        async with AsyncSession(other) as session, session.begin():
            made.append(await submit_in_async(session, ECHO, {"value": 2}, delay_seconds=timedelta(minutes=1)))
        async with other.begin() as connection:
            made.append(await submit_in_async(connection, ECHO, {"value": 3}))
        with pytest.raises(Invalid):
            async with other.begin() as connection:
                await submit_in_async(connection, "no.such")
        await other.dispose()
        return made

    made = asyncio.run(submit())
    assert [(task["id"], task["state"]) for task in by_name(engine)] == [
        (made[0], "queued"),
        (made[1], "scheduled"),
        (made[2], "queued"),
    ]


def test_values_of_python_arrive_as_over_http(app: str, engine: Engine) -> None:
    class Order(BaseModel):
        id: UUID
        day: date
        total: Decimal

    order = Order(id=uuid4(), day=date(2026, 1, 31), total=Decimal("1.50"))
    with OPENED["psycopg"](app) as connection, passing_on(request_id="r-1"):
        submit_in(connection, ECHO, {"value": order}, run_at=NEXT_WEEK, hard_timeout_seconds=timedelta(seconds=90))
    (task,) = by_name(engine)
    assert task["params"] == {"value": {"id": str(order.id), "day": "2026-01-31", "total": "1.50"}}
    assert (task["run_at"], task["hard_timeout_seconds"], task["request_id"]) == (NEXT_WEEK, 90, "r-1")


def test_defaults_of_the_type_are_filled_in_as_over_http(app: str, engine: Engine) -> None:
    schema = {"type": "object", "properties": {"pages": {"type": "integer", "default": 3}}}
    register_worker(engine, spec_named("shop.print", params=schema), name="shop")
    with OPENED["psycopg"](app) as connection:
        submit_in(connection, "shop.print")
    assert by_name(engine)[0]["params"] == {"pages": 3}


def test_a_type_that_has_changed_is_read_again(app: str, engine: Engine) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"pages": {"type": "integer"}}, "required": []}
    register_worker(engine, spec_named("shop.print", params=schema), name="first")
    with OPENED["psycopg"](app) as connection:
        submit_in(connection, "shop.print")
    register_worker(engine, spec_named("shop.print", params={**schema, "required": ["pages"]}), name="second")
    with pytest.raises(Invalid, match="`pages` is required"), OPENED["psycopg"](app) as connection:
        submit_in(connection, "shop.print")


@pytest.fixture(scope="module")
def platform(new_database: Any, new_redis_url: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The address for an application, an engine, and a served API, for all comparisons."""
    url = new_database()
    engine = ledger.make_engine(url)
    with ledger.connection(engine) as conn:
        workers.ensure_queues(conn, DEFAULT_QUEUES)
    register_kits(engine)
    register_worker(engine, spec_named("shop.invoice"), name="shop", queues=("low_priority", "default"))
    execute(engine, "UPDATE worker SET beat_at = now() + interval '1 day'")
    with (
        application(engine, url) as app,
        served(url, new_redis_url(), tmp_path_factory.mktemp("storage")) as api,
    ):
        yield app, engine, api
    engine.dispose()


BAD: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "an unknown type": ("diagnostics.ecko", {}, {}),
    "an empty name": ("", {}, {}),
    "the platform's own type": ("webhooks.deliver", {}, {}),
    "a wrong parameter": ("email.send", {"to_email": "no address", "subject": 7}, {}),
    "an unknown parameter": (ECHO, {"valeu": 1}, {}),
    "parameters that are a list": (ECHO, [1], {}),
    "large parameters": (ECHO, {"value": "x" * 2**18}, {}),
    "the mark of secrets": (ECHO, {"value": {"$secret": "x"}}, {}),
    "the NUL character": (ECHO, {"value": "\x00"}, {}),
    "a number beyond 64 bits": (ECHO, {"value": 2**70}, {}),
    "nested too deep": (ECHO, {"value": json.loads("[" * 31 + "]" * 31)}, {}),
    "an unknown queue": (ECHO, {"value": 1}, {"queue": "no_such"}),
    "a queue without a worker": ("shop.invoice", {}, {"queue": "selection"}),
    "an unknown option": (ECHO, {"value": 1}, {"delay": 1}),
    "a negative delay": (ECHO, {"value": 1}, {"delay_seconds": -1}),
    "a delay as text": (ECHO, {"value": 1}, {"delay_seconds": "1"}),
    "no time": (ECHO, {"value": 1}, {"run_at": "tomorrow"}),
    "a far time": (ECHO, {"value": 1}, {"run_at": "2099-01-01T00:00:00Z"}),
    "both times": (ECHO, {"value": 1}, {"run_at": NEXT_WEEK.isoformat(), "delay_seconds": 1}),
    "expired": (ECHO, {"value": 1}, {"expires_at": "2001-01-01T00:00:00Z"}),
    "no attempts": (ECHO, {"value": 1}, {"max_attempts": 0}),
    "many attempts": (ECHO, {"value": 1}, {"max_attempts": 101}),
    "half an attempt": (ECHO, {"value": 1}, {"max_attempts": 1.5}),
    "limits that do not fit": (ECHO, {"value": 1}, {"soft_timeout_seconds": 9, "hard_timeout_seconds": 8}),
    "a long limit": (ECHO, {"value": 1}, {"hard_timeout_seconds": 604_801}),
    "many tags": (ECHO, {"value": 1}, {"tags": ["x"] * 21}),
    "an unknown end": (ECHO, {"value": 1}, {"on_cancel": "x"}),
    "several things": ("email.send", {"to_email": 1}, {"max_attempts": 0, "tags": [""]}),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_the_words_of_the_api_before_anything_is_written(platform: Any, what: str) -> None:
    app, engine, api = platform
    name, params, options = BAD[what]
    answer = over_http(api, {"name": name, "params": params, **options})
    for library in OPENED:
        with suppress(Undone), OPENED[library](app) as connection:
            with pytest.raises(Invalid) as caught:
                submit_in(connection, name, params, **options)
            submit_in(connection, ECHO, {"value": 1})  # the transaction is as good as before
            raise Undone
        problem = caught.value
        assert (problem.code, problem.args[0]) == (answer["code"], answer["detail"]), library
        assert problem.errors == [(e["pointer"], e["message"]) for e in answer["errors"]], library
    assert is_untouched(engine)


class Undone(Exception):
    """Rolls a transaction back."""


def over_http(api: Served, body: dict[str, Any]) -> Any:
    answer = httpx.post(
        f"http://127.0.0.1:{api.port}/api/v1/tasks",
        json=body,
        headers={"Authorization": f"Bearer {api.key}"},
        timeout=30,
    )
    assert answer.status_code == 422, answer.text
    return answer.json()


FUNCTION_TELLS = ["an unknown queue", "a queue without a worker", "a negative delay", "a far time", "both times"]
FUNCTION_TELLS += ["expired", "no attempts", "many attempts", "half an attempt", "limits that do not fit"]
FUNCTION_TELLS += ["a long limit", "many tags", "large parameters", "the mark of secrets", "an unknown option"]
FUNCTION_TELLS += ["the NUL character", "nested too deep"]


@pytest.mark.parametrize("what", FUNCTION_TELLS)
def test_the_function_has_the_words_of_the_api_as_well(platform: Any, what: str) -> None:
    """Of those who call it without the helpers."""
    app, _, api = platform
    name, params, options = BAD[what]
    told = over_http(api, {"name": name, "params": params, **options})["errors"][0]["message"]
    with psycopg.connect(app) as conn, pytest.raises(psycopg.Error) as caught:
        conn.execute("SELECT taskyard_sql.submit(%s, %s, %s)", [name, json.dumps(params), json.dumps(options)])
    assert caught.value.diag.message_primary == told


@pytest.mark.parametrize(
    ("name", "params", "options", "pointer"),
    [
        ("email.send_verification", {"to_email": "a@example.com", "token": "t"}, {}, "/name"),
        (ECHO, {"value": SecretStr("s")}, {}, "/params"),
        (ECHO, {"value": 1}, {"unique": {"key": "k", "while": "active"}}, "/unique"),
        (ECHO, {"value": 1}, {"id": str(uuid4())}, "/id"),
        (ECHO, {"value": 1}, {"callback_url": "https://example.com/x"}, "/callback_url"),
    ],
)
def test_what_no_transaction_can_take_is_refused_with_words(
    app: str, engine: Engine, name: str, params: Any, options: dict[str, Any], pointer: str
) -> None:
    with OPENED["psycopg"](app) as connection, pytest.raises(Invalid) as caught:
        submit_in(connection, name, params, **options)
    assert caught.value.code == "not_in_transaction"
    ((at, told),) = caught.value.errors
    assert at == pointer
    assert "over HTTP" in told or "The answer has the id" in told
    assert is_untouched(engine)


def test_a_queue_of_others_and_a_role_without_a_grant_are_refused(app: str, engine: Engine) -> None:
    execute(engine, "UPDATE submit_role SET queues = '{low_priority}'")
    with OPENED["psycopg"](app) as connection, pytest.raises(Invalid) as caught:
        submit_in(connection, ECHO, {"value": 1}, queue="high_priority")
    assert (caught.value.code, caught.value.errors[0][0]) == ("queue_not_allowed", "/queue")
    execute(engine, "DELETE FROM submit_role")
    with OPENED["psycopg"](app) as connection, pytest.raises(NotAllowed, match="roles grant"):
        submit_in(connection, ECHO, {"value": 1})
    assert is_untouched(engine)


def test_before_any_worker_has_registered_the_answer_is_that_of_the_api(engine: Engine, database_url: str) -> None:
    with (
        application(engine, database_url) as app,
        OPENED["psycopg"](app) as connection,
        pytest.raises(ApiRefused) as caught,
    ):
        submit_in(connection, ECHO, {"value": 1})
    assert (caught.value.status, caught.value.code) == (503, "no_task_types")


def test_what_commits_each_statement_by_itself_is_refused(app: str, engine: Engine) -> None:
    with psycopg.connect(app, autocommit=True) as connection, pytest.raises(NotInTransaction):
        submit_in(connection, ECHO, {"value": 1})
    other = sa.create_engine(app.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with other.connect() as conn, pytest.raises(NotInTransaction):
        submit_in(conn, ECHO, {"value": 1})
    django = django_connection(app)
    with pytest.raises(NotInTransaction, match="atomic"):
        submit_in(django, ECHO, {"value": 1})
    django.close()
    other.dispose()
    with pytest.raises(TypeError, match="a connection of psycopg"):
        submit_in(object(), ECHO, {"value": 1})
    assert is_untouched(engine)


def test_a_transaction_in_two_phases_is_refused_before_anything_is_written(app: str, engine: Engine) -> None:
    other = sa.create_engine(app.replace("postgresql://", "postgresql+psycopg://"))
    with other.connect() as conn, conn.begin_twophase(), pytest.raises(NotInTransaction, match="prepares"):
        submit_in(conn, ECHO, {"value": 1})
    other.dispose()
    assert is_untouched(engine)


@pytest.mark.parametrize(
    ("module", "libraries"),
    [
        ("taskyard_client.transaction", ("django", "psycopg", "sqlalchemy", "taskyard")),
        (
            "taskyard.admission.in_transaction",
            ("alembic", "cryptography", "dramatiq", "httpx", "psycopg", "redis", "sqlalchemy", "structlog", "typer"),
        ),
    ],
)
def test_the_helpers_import_no_library_that_the_application_does_not_use(module: str, libraries: tuple[str]) -> None:
    code = f"import sys, {module}; print(sorted(set({libraries}) & sys.modules.keys()))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert made.stdout.strip() == "[]"
