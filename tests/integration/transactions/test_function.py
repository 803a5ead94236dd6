"""taskyard_sql.submit: a task in the transaction of an application, under a role of few rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from taskyard.lifecycle import submit as verbs
from taskyard.store import ledger
from taskyard_client.transaction import submit_in
from taskyard_dev.postgres import Postgres
from tests.support.applications import application, role_of, submit
from tests.support.ledger import new_task
from tests.support.scheduling import execute, scalar
from tests.support.specs import register_worker, spec_named

ECHO, SECRETIVE = "diagnostics.echo", "email.send_verification"
NEXT_WEEK = datetime.now(UTC) + timedelta(days=7)
PARAMS = '{"value": [1.5, "ü"]}'
TIMES = {"created_at", "run_at", "due_at", "queued_at", "expires_at"}


@pytest.fixture
def conn(app: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(app) as made:
        yield made


def refused(
    conn: psycopg.Connection[Any], name: str | None = ECHO, params: str = "{}", options: str = "{}"
) -> tuple[str, str]:
    """The pointer and the code of a refusal; `test_helpers.py` compares the words with the API's."""
    with pytest.raises(psycopg.Error) as caught, conn.transaction():
        submit(conn, name, params, options)
    assert caught.value.sqlstate == "TY422", caught.value
    told = json.loads(caught.value.diag.message_detail or "")
    return told["pointer"], told["code"]


def row(engine: Engine, task_id: Any) -> dict[str, Any]:
    return dict(execute(engine, "SELECT * FROM task WHERE id = :id", id=task_id).mappings().one())


def test_the_task_is_there_when_the_transaction_commits_and_never_when_it_does_not(
    conn: psycopg.Connection[Any], engine: Engine
) -> None:
    kept = submit(conn, ECHO, '{"value": 1}')
    assert scalar(engine, "SELECT count(*) FROM task") == 0
    conn.commit()
    assert row(engine, kept)["params"] == {"value": 1}
    submit(conn, ECHO, '{"value": 2}')
    conn.rollback()
    assert scalar(engine, "SELECT count(*) FROM task") == 1
    assert scalar(engine, "SELECT count(*) FROM application_outbox") == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"queue": "high_priority", "tags": ["b", "a", "b"], "max_attempts": 7, "on_cancel": "leave_children"},
        {"delay_seconds": 90.5, "soft_timeout_seconds": 5, "hard_timeout_seconds": 8.5},
        {"run_at": (datetime.now(UTC) + timedelta(days=9)).isoformat()},
        {"request_id": "r 1", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"},
    ],
)
def test_the_row_is_the_one_that_a_submit_over_http_writes(
    app: str, conn: psycopg.Connection[Any], engine: Engine, options: dict[str, Any]
) -> None:
    made = row(engine, _one(conn, options))
    usual = {name: made[name] for name in ("max_attempts", "soft_timeout_seconds", "hard_timeout_seconds")}
    given = {**usual, **options, "submitted_by": f"role:{role_of(app)}", "life_seconds": 86_400}
    if "run_at" in given:
        given["run_at"] = datetime.fromisoformat(given["run_at"])
    given["tags"] = list(dict.fromkeys(options.get("tags", ())))
    wanted = new_task(ECHO, params=json.loads(PARAMS), **given)
    ledger.run(engine, lambda c: verbs.submit(c, [wanted]))
    other = row(engine, wanted.id)
    apart = {"id", *TIMES}
    assert {k: v for k, v in made.items() if k not in apart} == {k: v for k, v in other.items() if k not in apart}
    for column in TIMES:
        assert (made[column] is None) == (other[column] is None), column
        if made[column] is not None:
            assert abs(made[column] - other[column]) < timedelta(seconds=60), column
    assert (made["id"].version, made["id"].variant) == (7, wanted.id.variant)


def _one(conn: psycopg.Connection[Any], options: dict[str, Any]) -> Any:
    with conn.transaction():
        return submit(conn, ECHO, PARAMS, json.dumps(options))


def test_times_are_those_of_the_call_not_of_the_transactions_begin(
    conn: psycopg.Connection[Any], engine: Engine
) -> None:
    conn.execute("SELECT pg_sleep(0.3)")
    task_id = submit(conn, ECHO)
    began = conn.execute("SELECT now()").fetchone()
    conn.commit()
    assert began is not None
    assert row(engine, task_id)["created_at"] - began[0] >= timedelta(seconds=0.3)


def test_a_role_submits_to_its_queues_only(engine: Engine, database_url: str, app: str) -> None:
    with ledger.transaction(engine) as owner:
        owner.exec_driver_sql("UPDATE submit_role SET queues = '{low_priority}'")
    with psycopg.connect(app) as conn:
        assert refused(conn) == ("/queue", "queue_not_allowed")  # the type's own
        assert refused(conn, options='{"queue": "high_priority"}') == ("/queue", "queue_not_allowed")
        assert conn.execute("SELECT name FROM taskyard_sql.queue").fetchall() == [("low_priority",)]
        task_id = submit(conn, ECHO, options='{"queue": "low_priority"}')
        conn.commit()
    assert row(engine, task_id)["allowed_queues"] == ["low_priority"]


@pytest.mark.parametrize(
    ("name", "params", "options", "told"),
    [
        ("no.such", "{}", {}, ("/name", "unknown_task_type")),
        (None, "{}", {}, ("/name", "unknown_task_type")),
        ("webhooks.deliver", "{}", {}, ("/name", "reserved_task_type")),
        (SECRETIVE, "{}", {}, ("/name", "not_in_transaction")),
        (ECHO, "[]", {}, ("/params", "invalid_request")),
        (ECHO, "null", {}, ("/params", "invalid_request")),
        (ECHO, json.dumps({"value": "x" * 2**18}), {}, ("/params", "params_too_large")),
        (ECHO, '{"value": ' + "[" * 31 + "]" * 31 + "}", {}, ("/params", "invalid_request")),
        (ECHO, '{"value": 1e131000}', {}, ("/params", "invalid_request")),
        (ECHO, '{"value": 1e-16000}', {}, ("/params", "invalid_request")),
        (ECHO, '{"value": 1e400000}', {}, ("/params", "invalid_request")),
        (ECHO, r'{"value": "\u0000"}', {}, ("/params", "invalid_request")),
        (ECHO, r'{"value": "\ud800"}', {}, ("/params", "invalid_request")),
        (ECHO, '{"value": {"$secret": "x"}}', {}, ("/params", "invalid_request")),
        (ECHO, "{}", {"unique": {"key": "k", "while": "active"}}, ("/unique", "not_in_transaction")),
        (ECHO, "{}", {"id": "0193d8e0-0000-7000-8000-000000000000"}, ("/id", "not_in_transaction")),
        (ECHO, "{}", {"callback_url": "https://example.com"}, ("/callback_url", "not_in_transaction")),
        (ECHO, "{}", {"other": 1}, ("/other", "invalid_request")),
        (ECHO, "{}", {"queue": "no_such"}, ("/queue", "unknown_queue")),
        (ECHO, "{}", {"queue": 1}, ("/queue", "invalid_request")),
        (ECHO, "{}", {"delay_seconds": -1}, ("/delay_seconds", "invalid_request")),
        (ECHO, "{}", {"delay_seconds": 315_619_201}, ("/delay_seconds", "invalid_request")),
        (ECHO, "{}", {"run_at": "2026-01-01"}, ("/run_at", "invalid_request")),
        (ECHO, "{}", {"run_at": "2026-13-01T00:00:00Z"}, ("/run_at", "invalid_request")),
        (ECHO, "{}", {"run_at": "2099-01-01T00:00:00Z"}, ("/run_at", "invalid_request")),
        (ECHO, "{}", {"run_at": "2026-12-01T00:00:00+23:59"}, ("/run_at", "invalid_request")),
        (ECHO, "{}", {"queue": "\0"}, ("", "invalid_request")),
        (ECHO, "{}", {"tags": ["x" * 65_536]}, ("", "invalid_request")),
        (ECHO, "{}", {"expires_at": "2000-01-01T00:00:00Z"}, ("/expires_at", "invalid_request")),
        (ECHO, "{}", {"max_attempts": 0}, ("/max_attempts", "invalid_request")),
        (ECHO, "{}", {"max_attempts": 1.5}, ("/max_attempts", "invalid_request")),
        (ECHO, "{}", {"hard_timeout_seconds": 604_801}, ("/hard_timeout_seconds", "invalid_request")),
        (
            ECHO,
            "{}",
            {"soft_timeout_seconds": 9, "hard_timeout_seconds": 8},
            ("/soft_timeout_seconds", "invalid_request"),
        ),
        (ECHO, "{}", {"tags": ["x"] * 21}, ("/tags", "invalid_request")),
        (ECHO, "{}", {"tags": [""]}, ("/tags", "invalid_request")),
        (ECHO, "{}", {"on_cancel": "x"}, ("/on_cancel", "invalid_request")),
        (ECHO, "{}", {"request_id": "a\nb"}, ("/request_id", "invalid_request")),
        (ECHO, "{}", {"traceparent": "x"}, ("/traceparent", "invalid_request")),
    ],
)
def test_the_function_checks_for_itself(
    conn: psycopg.Connection[Any],
    engine: Engine,
    name: str | None,
    params: str,
    options: dict[str, Any],
    told: tuple[str, str],
) -> None:
    """A caller that goes past the helpers gets no further than over HTTP."""
    assert refused(conn, name, params, json.dumps(options)) == told
    conn.commit()
    assert scalar(engine, "SELECT count(*) FROM task") == 0


def test_settings_of_the_callers_session_change_no_check(conn: psycopg.Connection[Any], engine: Engine) -> None:
    """The bodies of functions are read with the settings of the session that calls them first."""
    conn.execute(
        "SET standard_conforming_strings = off; SET DateStyle = 'German'; SET TimeZone = 'Pacific/Kiritimati';"
        "SET bytea_output = 'escape'; SET extra_float_digits = -15; SET transform_null_equals = on"
    )
    options = {"run_at": NEXT_WEEK.isoformat(), "request_id": "r 1", "hard_timeout_seconds": 123.456}
    task_id = submit(conn, ECHO, PARAMS, json.dumps(options))
    assert refused(conn, options='{"request_id": "\u00fc"}') == ("/request_id", "invalid_request")
    assert refused(conn, options='{"run_at": "dddd-dd-ddTdd:dd:ddZ"}') == ("/run_at", "invalid_request")
    conn.commit()
    made = row(engine, task_id)
    assert (made["run_at"], made["request_id"], made["hard_timeout_seconds"]) == (NEXT_WEEK, "r 1", 123.456)


def test_a_number_too_small_for_a_float_is_zero_as_in_json(conn: psycopg.Connection[Any], engine: Engine) -> None:
    task_id = submit(conn, ECHO, options='{"delay_seconds": 1e-16000}')
    conn.commit()
    assert row(engine, task_id)["state"] == "queued"


def test_the_deepest_parameters_that_the_api_takes_are_taken(conn: psycopg.Connection[Any]) -> None:
    submit(conn, ECHO, '{"value": ' + "[" * 30 + "1" + "]" * 30 + "}")
    submit_in(conn, ECHO, {"value": json.loads("[" * 30 + "1" + "]" * 30)})


def test_a_type_on_a_queue_that_no_live_worker_serves_is_refused(conn: psycopg.Connection[Any], engine: Engine) -> None:
    register_worker(engine, spec_named("shop.invoice"), name="shop", queues=("low_priority", "default"))
    assert refused(conn, "shop.invoice", options='{"queue": "selection"}') == ("/queue", "queue_not_served")
    submit(conn, "shop.invoice", options='{"queue": "low_priority"}')


def test_the_version_that_a_live_worker_runs_admits(conn: psycopg.Connection[Any], engine: Engine) -> None:
    register_worker(engine, spec_named("shop.invoice", version=2), name="shop")
    gone = register_worker(engine, spec_named("shop.invoice", version=3), name="gone")
    execute(engine, "UPDATE worker SET lost_at = now() WHERE id = :id", id=gone)
    task_id = submit(conn, "shop.invoice")
    conn.commit()
    assert row(engine, task_id)["version"] == 2


def test_prepared_transactions_are_refused(own_postgres: Postgres) -> None:
    """PostgreSQL itself refuses to prepare what has notified: a prepared transaction could not tell of its commit."""
    with own_postgres.connect() as conn:
        conn.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
    own_postgres.stop()
    own_postgres.start()
    url = own_postgres.url()
    owner = ledger.make_engine(url)
    register_worker(owner, spec_named("shop.invoice"))
    with application(owner, url) as app, psycopg.connect(app) as conn:
        submit(conn, "shop.invoice")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="executed LISTEN, UNLISTEN, or NOTIFY"):
            conn.execute("PREPARE TRANSACTION 'one'")
    assert scalar(owner, "SELECT count(*) FROM task") == 0
    owner.dispose()
