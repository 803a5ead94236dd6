"""A submit from a form: options as the API takes them, faults beside their fields, and the request to copy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from taskyard_client import Task, TaskType
from taskyard_console import schemas, submission
from taskyard_console.forms import Form

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"type": "string"}},
        "card": {
            "type": "object",
            "properties": {"owner": {"type": "string"}, "number": {"type": "string", "writeOnly": True}},
            "additionalProperties": False,
        },
        "more": {},
    },
}
ZONE = ZoneInfo("Europe/Budapest")


def read(**fields: str) -> submission.Submission:
    return submission.read(SCHEMA, Form({name.replace("__", "/"): [value] for name, value in fields.items()}), ZONE)


def test_options_are_read_as_the_api_takes_them_and_what_is_empty_is_left_out() -> None:
    found = read(
        queue="low",
        delay_seconds="",
        run_at="2026-07-01T08:00",
        tags="a\r\n\r\n b ",
        unique_key="k",
        unique_while="waiting",
        limit_key="customer-7",
        limit_concurrent="2",
        max_attempts="many",
    )
    assert found.options == {
        "queue": "low",
        "run_at": datetime(2026, 7, 1, 6, tzinfo=UTC),
        "tags": ["a", "b"],
        "unique": {"key": "k", "while": "waiting"},
        "limits": {"key": "customer-7", "concurrent": 2},
        "max_attempts": "many",  # the API says what is wrong with it
    }
    assert read().options == {}


def test_a_time_that_is_none_and_text_that_is_no_json_are_faults_and_stay_as_typed() -> None:
    form = Form({"run_at": ["soon"], "/more": ["{half"], "/card/owner": ["Ada"]})
    found = submission.read(SCHEMA, form, ZONE)
    assert found.faults == {"run_at": submission.NOT_A_TIME, "/more": schemas.NOT_JSON}
    again = schemas.drawn(SCHEMA, typed=form)
    assert [field.value for field in again if field.name == "/more"] == ["{half"]
    assert found.typed["run_at"] == "soon"


def test_what_the_api_says_stands_beside_the_field_or_that_which_holds_it() -> None:
    known = schemas.names_of(schemas.drawn(SCHEMA))
    found, rest = submission.placed(
        [
            ("/params/to/1", "entry"),
            ("/params/card/owner", "owner"),
            ("/limits/concurrent", "limit"),
            ("/tags/0", "tag"),
            ("/params", "whole"),
            ("/id", "id"),
        ],
        known,
    )
    assert found == {"/to": "entry", "/card/owner": "owner", "limit_concurrent": "limit", "tags": "tag"}
    assert rest == [("/params", "whole"), ("/id", "id")]


def test_the_request_that_is_shown_has_no_secret_and_is_what_would_be_sent() -> None:
    form = Form({"/card/number": ["4111"], "/card/owner": ["O'Hara"], "run_at": ["2026-07-01T08:00"]})
    typed = submission.read(SCHEMA, form, ZONE)
    body = json.loads(submission.body_of("pay", typed, SCHEMA))
    assert body == {
        "name": "pay",
        "params": {"card": {"number": "…", "owner": "O'Hara"}},
        "run_at": "2026-07-01T06:00:00+00:00",
    }
    code = submission.code_of("pay", typed, SCHEMA)
    assert "4111" not in code
    compile(code, "shown", "exec")


def test_secrets_in_lists_and_in_json_are_hidden_too() -> None:
    ref = {"$ref": "#/$defs/Login"}
    login = {"type": "object", "properties": {"user": {}, "password": {"type": "string", "writeOnly": True}}}
    schema = {
        "properties": {
            "logins": {"type": "array", "items": ref},
            "by_host": {
                "type": "object",
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Login"}, {"type": "null"}]},
            },
        },
        "$defs": {"Login": login},
    }
    one = {"user": "ada", "password": "hunter2"}
    typed = submission.Submission({"logins": [one], "by_host": {"a": one, "b": None}})
    hidden = {"user": "ada", "password": "…"}
    shown = json.loads(submission.body_of("a.b", typed, schema))["params"]
    assert shown == {"logins": [hidden], "by_host": {"a": hidden, "b": None}}


def test_a_secret_that_is_not_typed_again_is_a_fault_at_its_field() -> None:
    schema = {"properties": {"logins": {"type": "array", "items": {"type": "object"}}}}
    logins = json.dumps([{"password": ""}, {"password": "typed"}])
    sent = {"/logins": [logins], "masked": ["/logins/0/password", "/logins/1/password", "/gone"]}
    assert submission.read(schema, Form(sent), ZONE).faults == {"/logins": submission.MISSING}


def test_a_task_is_submitted_again_with_the_options_that_are_not_its_types() -> None:
    kind = TaskType.model_validate({
        "name": "a.b", "queue": "default", "params": {}, "retry": {"max_attempts": 3},
        "soft_timeout_seconds": 60, "hard_timeout_seconds": 90,
    })  # fmt: skip
    task = Task(
        id=UUID(int=1), name="a.b", queue="low", state="failed", tags=["t"], max_attempts=5, soft_timeout_seconds=60,
        hard_timeout_seconds=120.5, limits={"key": "k", "per_second": 0.5}, callback_url="https://example.org/told",
    )  # fmt: skip
    given = {name: text for name, text in submission.options_of(task, kind).items() if text}
    assert given == {
        "queue": "low",
        "tags": "t",
        "max_attempts": "5",
        "hard_timeout_seconds": "120.5",
        "limit_key": "k",
        "limit_per_second": "0.5",
        "callback_url": "https://example.org/told",
    }
    assert submission.read({}, Form({name: [text] for name, text in given.items()}), ZONE).options == {
        "queue": "low",
        "tags": ["t"],
        "max_attempts": 5,
        "hard_timeout_seconds": 120.5,
        "limits": {"key": "k", "per_second": 0.5},
        "callback_url": "https://example.org/told",
    }
