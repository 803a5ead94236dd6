"""What tasks with a name and parameters only have in common is admitted once, and nothing else than before comes of
it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.admission.bodies import SubmitTask
from tests.integration.api.conftest import Api
from tests.support.specs import register_worker, spec_named

BATCH = "/api/v1/tasks/batch"
ECHO: dict[str, Any] = {"name": "diagnostics.echo", "params": {"value": 1}}
SLEEP: dict[str, Any] = {"name": "diagnostics.sleep", "params": {"seconds": 1}}


def batch(api: Api, *tasks: Any, **more: Any) -> Any:
    return api.http.post(BATCH, json={"tasks": tasks, **more})


def stored(api: Api) -> list[sa.Row[Any]]:
    with api.engine.connect() as conn:
        return list(conn.execute(sa.text("SELECT * FROM task ORDER BY id")))


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows by each task that is validated by the model of a submit."""
    seen: list[Any] = []
    plain = SubmitTask.model_validate

    def noted(value: Any, **more: Any) -> SubmitTask:
        seen.append(value)
        return plain(value, **more)

    monkeypatch.setattr(SubmitTask, "model_validate", noted)
    return seen


def test_they_are_stored_as_one_by_one(api: Api, validated: list[Any]) -> None:
    one_by_one = [api.submit(params={"value": 5}, tags=[]), api.submit(**{**SLEEP, "tags": []})]
    validated.clear()
    for n in range(2):
        answer = batch(api, *[{**ECHO, "params": {"value": [n, m]}} for m in range(3)], SLEEP, ECHO)
        assert answer.status_code == 202
        assert [item["name"] for item in answer.json()["items"]] == [
            *["diagnostics.echo"] * 3,
            SLEEP["name"],
            ECHO["name"],
        ]
    assert len(validated) == 2, "one of each type, once"
    rows = stored(api)
    assert [row.params["value"] for row in rows if row.name == ECHO["name"]] == [
        5, *([0, m] for m in range(3)), 1, *([1, m] for m in range(3)), 1
    ]  # fmt: skip
    own = {"id", "params", "request_id", "traceparent", "created_at", "run_at", "queued_at", "expires_at"}
    for like in one_by_one:
        kept = next(row._mapping for row in rows if str(row.id) == like["id"])
        for row in rows:
            if row.name == like["name"]:
                assert {k: v for k, v in row._mapping.items() if k not in own} == {
                    k: v for k, v in kept.items() if k not in own
                }
                assert row.expires_at - row.run_at == kept["expires_at"] - kept["run_at"]


def test_each_has_the_ids_of_its_own_request(api: Api) -> None:
    for name in ("first", "second"):
        assert api.http.post(BATCH, json={"tasks": [ECHO, ECHO]}, headers={"X-Request-ID": name}).status_code == 202
    rows = stored(api)
    assert [row.request_id for row in rows] == ["first", "first", "second", "second"]
    assert len({row.traceparent for row in rows}) == 2


@pytest.mark.parametrize(
    ("wrong", "faults"),
    [
        ({**ECHO, "params": {}}, ["/tasks/1/params/value"]),
        ({**ECHO, "params": {"value": 1, "more": 2}}, ["/tasks/1/params/more"]),
        ({**ECHO, "params": {"value": {"$secret": "x"}}}, ["/tasks/1/params/value"]),
        ({**ECHO, "params": []}, ["/tasks/1/params"]),
        ({**ECHO, "more": 1}, ["/tasks/1/more"]),
        ({"name": ["diagnostics.echo"], "params": {}}, ["/tasks/1/name"]),
        ({"name": "nope", "params": {}}, ["/tasks/1/name"]),
        ({"name": "webhook.deliver", "params": {}}, ["/tasks/1/name"]),
        ("diagnostics.echo", ["/tasks/1"]),
    ],
)
def test_one_that_is_wrong_is_told_as_ever(api: Api, wrong: Any, faults: list[str]) -> None:
    assert batch(api, ECHO, ECHO).status_code == 202
    answer = batch(api, ECHO, wrong, ECHO)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == faults
    assert api.count_tasks() == 2, "all or none"


def test_what_one_caller_may_is_not_what_another_may(api: Api) -> None:
    assert batch(api, ECHO, ECHO).status_code == 202
    elsewhere = api.client(api.key("submit", queues=["low_priority"]))
    for _ in range(2):
        assert elsewhere.post(BATCH, json={"tasks": [ECHO, ECHO]}).status_code == 403
    here = api.client(api.key("submit", queues=["default"], name="here"))
    for _ in range(2):
        assert here.post(BATCH, json={"tasks": [ECHO]}).status_code == 202
    assert [(row.submitted_by == "here", row.allowed_queues) for row in stored(api)] == [
        *[(False, None)] * 2,
        *[(True, ["default"])] * 2,
    ]


def test_a_type_that_changes_is_admitted_anew(api: Api) -> None:
    def versions() -> list[int]:
        assert batch(api, {"name": "own.task", "params": {}}).status_code == 202
        return [row.version for row in stored(api)]

    def look() -> None:
        """A fresh look is taken once a second, where a name is not known."""
        time.sleep(1.0)
        assert api.http.post("/api/v1/tasks", json={"name": "own.unknown", "params": {}}).status_code == 422

    register_worker(api.engine, spec_named("own.task", queue="default"))
    look()
    assert versions() == [1]
    register_worker(api.engine, spec_named("own.task", queue="default", version=2, max_attempts=2), name="newer")
    look()
    assert versions() == [1, 2]


def test_a_batch_may_have_a_key_of_its_own(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = (api.http.post(BATCH, json={"tasks": [ECHO, ECHO]}, headers=key) for _ in range(2))
    assert first.json() == again.json()
    assert api.count_tasks() == 2


def test_defaults_and_secrets_are_each_tasks_own(
    start_api: Callable[..., Api], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alike_tasks.py").write_text(
        "from taskyard.catalogue.secrets import Secret\n"
        "from taskyard.catalogue.types import Params, Result, TaskType\n"
        "class LoginParams(Params):\n    token: Secret[str]\n    times: int = 3\n"
        "class LoginResult(Result):\n    ok: bool\n"
        "LOGIN = TaskType(name='own.login', description='', params=LoginParams, result=LoginResult)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    api = start_api(modules=["alike_tasks"])
    tasks = [{"name": "own.login", "params": {"token": f"hunter{n}"}} for n in range(3)]
    assert batch(api, *tasks).status_code == 202
    params = [row.params for row in stored(api)]
    assert [each["times"] for each in params] == [3, 3, 3]
    assert len({each["token"]["$secret"] for each in params}) == 3
    assert "hunter" not in str(params)
