"""Selection runs over HTTP: what starts one, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.store.selection_runs import Kind
from taskyard_api import selection_run_models as models
from tests.integration.api.conftest import Api
from tests.integration.api.selection_runs import PATH, SELECT, read, start
from tests.support.selection_specs import BODIES, register


@pytest.fixture
def api(engine: Engine, start_api: Callable[..., Api]) -> Api:
    register(engine)
    return start_api(registered=False)


def test_a_run_of_each_kind_is_accepted_as_a_task_with_the_same_id(api: Api) -> None:
    for kind in Kind:
        is_accepted(api, kind)


def is_accepted(api: Api, kind: Kind) -> None:
    answer = api.http.post(PATH, json={"kind": kind, **BODIES[kind], "tags": ["assembly-7"]})
    assert answer.status_code == 202, answer.text
    run = answer.json()
    models.AcceptedSelectionRun.model_validate_json(answer.content)
    assert answer.headers["Location"] == f"{PATH}/{run['id']}"
    assert run == {
        "id": run["id"],
        "task_id": run["id"],
        "kind": kind,
        "status": "PENDING",
        "progress_percentage": 0.0,
        "log_messages": [],
        "error_message": None,
        "error_code": None,
        "support_url": None,
        "created_at": run["created_at"],
        "completed_at": None,
        "result": None,
    }
    assert read(api, run["id"]) == run
    task = api.http.get(f"/api/v1/tasks/{run['task_id']}").json()
    assert (task["name"], task["queue"], task["params"]) == (f"selection.{kind}", "selection", BODIES[kind])
    assert task["tags"] == ["assembly-7"]


# One API for all of them: its start takes longer than these.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "other"}, "/kind"),
    ({"kind": None}, "/kind"),
    ({"selection_params": {"number_to_select": 0}}, "/selection_params/number_to_select"),
    ({"quota_data": 7}, "/quota_data"),
    ({"params": {}}, "/params"),
    ({"name": "selection.run_select"}, "/name"),
    ({"more": 1}, "/more"),
    ({"max_attempts": 0}, "/max_attempts"),
    ({"unique": {"key": ""}}, "/unique/key"),
    ({"delay_seconds": -1}, "/delay_seconds"),
    ({"queue": "nowhere"}, "/queue"),
    ({"hard_timeout_seconds": 5, "soft_timeout_seconds": 9}, "/soft_timeout_seconds"),
]


def test_a_wrong_run_is_422_with_the_place_as_the_caller_wrote_it(api: Api) -> None:
    for wrong, pointer in WRONG:
        answer = api.http.post(PATH, json={**SELECT, **wrong})
        assert answer.status_code == 422, answer.text
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    nothing: list[Any] = [[], "x", 7, {}, {"kind": {"a": 1}}]
    for body in nothing:
        assert api.http.post(PATH, json=body).status_code == 422, body
    assert api.count_tasks() == 0


def test_too_large_parameters_are_told_of_the_whole_body(api: Api) -> None:
    rows = [{"id": "x" * 1000} for _ in range(300)]
    answer = api.http.post(PATH, json={**SELECT, "feature_data": {"rows": rows}})
    assert (answer.status_code, answer.json()["code"]) == (422, "params_too_large")
    assert answer.json()["errors"][0]["pointer"] == ""


def test_a_run_takes_the_options_of_a_submit(api: Api) -> None:
    chosen, unique = str(uuid4()), {"key": "assembly-7", "while": "active"}
    assert start(api.http, id=chosen, unique=unique, delay_seconds=60, max_attempts=2, queue="default") == chosen
    task = api.http.get(f"/api/v1/tasks/{chosen}").json()
    assert (task["state"], task["max_attempts"], task["queue"]) == ("scheduled", 2, "default")
    assert read(api, chosen)["status"] == "PENDING"
    taken = api.http.post(PATH, json={**SELECT, "id": chosen})
    assert (taken.status_code, taken.json()["code"]) == (409, "id_taken")
    held = api.http.post(PATH, json={**SELECT, "unique": unique})
    assert (held.status_code, held.json()["code"]) == (409, "not_unique")


def test_a_run_with_an_idempotency_key_is_started_once(api: Api) -> None:
    key = {"Idempotency-Key": "run-7"}
    first, again = (api.http.post(PATH, json=SELECT, headers=key) for _ in range(2))
    assert (again.status_code, again.json()) == (202, first.json())
    assert (again.headers["Idempotency-Replayed"], again.headers["Location"]) == ("true", first.headers["Location"])
    assert api.count_tasks() == 1
    other = api.http.post(PATH, json={**SELECT, "tags": ["other"]}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_without_a_worker_that_has_the_type_it_is_a_503(engine: Engine, start_api: Callable[..., Api]) -> None:
    register(engine, Kind.LOAD_GSHEET)
    api = start_api(registered=False)
    answer = api.http.post(PATH, json=SELECT)
    assert (answer.status_code, answer.json()["code"]) == (503, "type_not_registered")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_run_that_no_live_worker_takes_is_accepted_with_a_warning(
    engine: Engine, start_api: Callable[..., Api]
) -> None:
    register(engine)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE worker SET stopped_at = now()"))
    answer = start_api(registered=False).http.post(PATH, json=SELECT)
    models.AcceptedSelectionRun.model_validate_json(answer.content)
    assert (answer.status_code, [w["code"] for w in answer.json()["warnings"]]) == (202, ["no_live_worker"])


def test_each_call_needs_its_scope(api: Api) -> None:
    run = start(api.http)
    for scope in ("read", "submit", "manage"):
        client = api.client(api.key(scope))
        allowed = {
            "read": {client.get(PATH).status_code, client.get(f"{PATH}/{run}").status_code} == {200},
            "submit": client.post(PATH, json=SELECT).status_code == 202,
        }
        assert [name for name, is_allowed in allowed.items() if is_allowed] == [scope] * (scope in allowed)


def test_a_key_without_read_is_told_no_more_than_where_its_run_is(api: Api) -> None:
    client, key = api.client(api.key("submit")), {"Idempotency-Key": "run-7"}
    for answer in (client.post(PATH, json=SELECT, headers=key) for _ in range(2)):
        assert answer.status_code == 202
        models.ToldAcceptedSelectionRun.model_validate_json(answer.content)
