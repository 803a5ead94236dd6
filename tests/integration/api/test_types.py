"""The API knows the task types that workers have registered, and nothing else."""

import time
from collections.abc import Callable

import pytest
import redis
import sqlalchemy as sa
from structlog.testing import capture_logs

from taskyard import task
from taskyard.broker.names import Names
from taskyard.catalogue.spec import TaskSpec, spec_of
from taskyard.catalogue.types import type_of
from taskyard.store import ledger, task_types
from taskyard.store.audit import Actor
from taskyard_api import answers, known_types, type_answers
from tests.integration.api.conftest import Api
from tests.support.cases import one_in
from tests.support.fleet import wait_for
from tests.support.specs import HOSTILE_ROWS, plant, register_worker, spec_named

REPORT = {"name": "own.report"}


def submit(api: Api, **more: object) -> tuple[int, dict[str, object]]:
    answer = api.http.post("/api/v1/tasks", json={**REPORT, **more})
    return answer.status_code, answer.json()


def test_before_any_worker_has_registered_a_submit_is_told_to_come_again(start_api: Callable[..., Api]) -> None:
    api = start_api(registered=False)
    answer = api.http.post("/api/v1/tasks", json=REPORT)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_task_types")
    assert int(answer.headers["Retry-After"]) >= 1
    register_worker(api.engine, spec_named("own.report"))
    wait_for(lambda: submit(api)[0] == 202, 10, "a submit", every=0.2)


def test_a_type_that_was_registered_a_moment_ago_is_found(api: Api) -> None:
    status, told = submit(api)
    assert (status, told["code"]) == (422, "unknown_task_type")
    register_worker(api.engine, spec_named("own.report"))
    time.sleep(1.0)  # a fresh look is taken once a second
    assert submit(api)[0] == 202


def test_unknown_names_cost_one_look_a_second(api: Api) -> None:
    submit(api)
    looks: list[float] = []

    def count(conn: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if "FROM task_type" in statement:
            looks.append(time.monotonic())

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        began = time.monotonic()
        for n in range(50):
            assert submit(api, name=f"no.such{n}")[0] == 422
        seconds = time.monotonic() - began
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert len(looks) <= seconds + 2 + seconds / 4, "with those that are taken every few seconds anyway"


def test_a_wake_up_brings_new_types_at_once(
    start_api: Callable[..., Api], shared_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_types, "_READ_SECONDS", 600.0)
    api = start_api()
    known = api.service.types
    register_worker(api.engine, spec_named("own.report"))

    def is_known() -> bool:
        shared_redis.publish(Names(api.settings.namespace).types, b"1")
        return known.registry.admitting("own.report") is not None

    wait_for(is_known, 20, "the type, for which no other look is taken by then", every=0.05)


def test_a_type_that_no_live_worker_runs_is_accepted_with_a_warning(api: Api) -> None:
    ledger.run_transaction(
        api.engine, lambda conn: task_types.write(conn, [spec_named("own.report")], Actor("worker:gone"))
    )
    wait_for(lambda: submit(api)[0] == 202, 10, "the type", every=0.2)
    answer = api.http.post("/api/v1/tasks", json=REPORT)
    answers.AcceptedTask.model_validate_json(answer.content)
    assert [warned["code"] for warned in answer.json()["warnings"]] == ["no_live_worker"]
    batch = api.http.post("/api/v1/tasks/batch", json={"tasks": [REPORT, REPORT]})
    answers.Batch.model_validate_json(batch.content)
    assert [warned["code"] for warned in batch.json()["warnings"]] == ["no_live_worker"]
    assert "warnings" not in api.submit()


def test_a_queue_that_no_worker_of_the_type_serves_is_refused_with_those_that_do(api: Api) -> None:
    register_worker(api.engine, spec_named("own.report"), queues=["default", "low_priority"])
    wait_for(lambda: submit(api)[0] == 202, 10, "the type", every=0.2)
    status, told = submit(api, queue="geo_processing")
    assert (status, told["code"]) == (422, "queue_not_served")
    assert "default, low_priority" in str(told["errors"])
    assert submit(api, queue="low_priority")[0] == 202


def test_versions_and_the_workers_that_run_them_are_shown(api: Api) -> None:
    def spec(version: int) -> TaskSpec:
        return spec_named("own.report", version=version, description=f"v{version}", kit="own")

    register_worker(api.engine, spec(1), name="old")
    gone = register_worker(api.engine, spec(2), name="new")
    shown = api.http.get("/api/v1/task-types/own.report")
    type_answers.TaskTypeShown.model_validate_json(shown.content)
    assert (shown.json()["kit"], shown.json()["version"], shown.json()["description"]) == ("own", 2, "v2")
    found = [(v["version"], v["admits"], [w["worker"] for w in v["workers"]]) for v in shown.json()["versions"]]
    assert found == [(1, False, ["old"]), (2, True, ["new"])]
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE worker SET stopped_at = now() WHERE id = :id"), {"id": gone})
    wait_for(lambda: api.http.get("/api/v1/task-types/own.report").json()["version"] == 1, 10, "the older", every=0.2)


def test_a_thumbnail_needs_a_worker_that_has_brought_its_type(start_api: Callable[..., Api]) -> None:
    api = start_api(registered=False)
    register_worker(api.engine, spec_named("own.report"))
    item = api.http.post("/api/v1/tree-items", content=b"x", headers={"X-Filename": "a.png"}).json()["item_id"]
    answer = api.http.post(f"/api/v1/tree-items/{item}/thumbnail", json={"width": 10, "height": 10})
    assert (answer.status_code, answer.json()["code"]) == (503, "type_not_registered")
    assert "Retry-After" in answer.headers


def test_series_of_types_appear_as_they_are_registered(api: Api) -> None:
    labels = {"queue": "default", "task": "own.report", "result": "accepted"}

    def value() -> float | None:
        return api.service.metrics.registry.get_sample_value("taskyard_tasks_submitted_total", labels)

    assert value() is None
    register_worker(api.engine, spec_named("own.report"))
    wait_for(lambda: value() == 0.0, 10, "the series", every=0.2)
    assert submit(api)[0] == 202
    assert value() == 1.0


@pytest.mark.parametrize("what", one_in(3, HOSTILE_ROWS))
def test_a_hostile_row_harms_no_other_type(api: Api, what: str) -> None:
    worker = register_worker(api.engine, spec_named("own.report"), name="compromised")
    plant(api.engine, HOSTILE_ROWS[what], worker=worker)
    wait_for(lambda: submit(api)[0] == 202, 10, "a type that was registered with it", every=0.2)
    register_worker(api.engine, spec_named("own.later"))
    wait_for(lambda: submit(api, name="own.later")[0] == 202, 10, "a type that was registered after it", every=0.2)
    listed = api.http.get("/api/v1/task-types")
    assert listed.status_code == 200
    type_answers.TaskTypePage.model_validate_json(listed.content)
    names = {item["name"] for item in listed.json()["items"]}
    assert {"diagnostics.echo", "email.send", "own.report", "own.later"} <= names
    assert "hostile" not in names
    assert api.http.get("/api/v1/task-types/hostile").status_code == 404
    assert submit(api, name="hostile")[1]["code"] == "unknown_task_type"
    assert submit(api, name="diagnostics.echo", params={"value": 1})[1]["version"] == 1
    assert api.http.get("/api/v1/queues").status_code == 200


def test_a_hostile_row_is_read_and_logged_once(api: Api) -> None:
    with capture_logs() as logs:
        plant(api.engine, HOSTILE_ROWS["1 MiB"])
        for _ in range(3):
            api.http.get("/api/v1/task-types")
    unusable = [log for log in logs if log["event"] == "task_type_unusable"]
    assert [(log["task_name"], log["reason"]) for log in unusable] == [
        ("hostile", "a spec has at most 65536 bytes as JSON")
    ]


def test_an_exponential_pattern_costs_a_submit_no_time(api: Api) -> None:
    params = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a+)+$"}}}
    register_worker(api.engine, spec_named("own.slow", params=params))
    wait_for(lambda: submit(api, name="own.slow")[0] == 202, 10, "the type", every=0.2)
    began = time.monotonic()
    status, told = submit(api, name="own.slow", params={"text": "a" * 200_000 + "!"})
    assert time.monotonic() - began < 20
    assert (status, told["code"]) == (422, "invalid_request")
    assert submit(api, name="own.slow", params={"text": "a" * 1_000})[0] == 202


def test_a_secret_under_any_of_is_encrypted_where_either_branch_may_mean_it(api: Api) -> None:
    secret = {"type": "string", "writeOnly": True, "format": "password"}
    params = {
        "type": "object",
        "properties": {"token": {"anyOf": [{"type": "string", "maxLength": 3}, secret]}, "plain": {"type": "string"}},
    }
    register_worker(api.engine, spec_named("own.secretive", params=params))
    wait_for(lambda: submit(api, name="own.secretive")[0] == 202, 10, "the type", every=0.2)
    for token in ("abc", "longer than three"):
        _, task = submit(api, name="own.secretive", params={"token": token, "plain": "shown"})
        assert task["params"] == {"token": "***", "plain": "shown"}
        with api.engine.connect() as conn:
            row = conn.execute(sa.text("SELECT params FROM task WHERE id = :id"), {"id": task["id"]}).scalar_one()
        assert set(row["token"]) == {"$secret"}
        assert token not in str(row)


def test_the_properties_of_parameters_come_in_the_order_of_their_declaration(api: Api) -> None:
    """jsonb has its own order, and positional arguments need that of the declaration."""
    names = ["zebra", "a_much_longer_name", "b", "an_apple", "c"]
    params = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    register_worker(api.engine, spec_named("own.ordered", params=params, params_order=names))
    wait_for(lambda: api.http.get("/api/v1/task-types/own.ordered").status_code == 200, 10, "the type")
    assert list(api.http.get("/api/v1/task-types/own.ordered").json()["params"]["properties"]) == names


def test_what_a_worker_registers_names_the_order_of_the_declaration() -> None:
    @task("tests.ordered")
    def ordered(zebra: int, a_much_longer_name: int, b: int) -> int:
        return zebra + a_much_longer_name + b

    declared = type_of(ordered)
    assert declared is not None
    spec = spec_of(declared)
    assert list(spec.params_order) == ["zebra", "a_much_longer_name", "b"]
    older = TaskSpec.parse({name: value for name, value in spec.as_json().items() if name != "params_order"})
    assert "params_order" not in older.as_json(), "a spec of the release before keeps its digest"
