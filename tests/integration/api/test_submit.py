"""POST /tasks and /tasks/batch: accepted tasks are durable and announced; refusals name the field."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
import redis
import sqlalchemy as sa

from taskyard.domain.errors import Overloaded
from taskyard.domain.messages import message
from taskyard_api import answers
from taskyard_api.app import routes_of
from taskyard_api.collector import Collector
from tests.integration.api.conftest import NAMESPACE, Api

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


def pointers(problem: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in problem["errors"]]


def test_a_submitted_task_is_durable_and_published(api: Api, shared_redis: redis.Redis) -> None:
    answer = api.http.post(
        "/api/v1/tasks", json={**ECHO, "tags": ["a", "b", "a"]}, headers={"X-Request-ID": "my-request"}
    )
    assert answer.status_code == 202
    task = answer.json()
    assert answer.headers["Location"] == f"/api/v1/tasks/{task['id']}"
    assert answer.headers["X-Request-ID"] == "my-request"
    answers.Task.model_validate_json(answer.content)
    assert task["state"] == "queued"
    assert task["tags"] == ["a", "b"]
    assert task["request_id"] == "my-request"
    assert task["trace_id"] == answer.headers["traceparent"][3:35]
    assert task["max_attempts"] == 6
    assert UUID(task["id"]).version == 7
    assert api.http.get(answer.headers["Location"]).json() == task
    life = datetime.fromisoformat(task["expires_at"]) - datetime.fromisoformat(task["run_at"])
    assert abs(life - timedelta(hours=24)) < timedelta(seconds=5)
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while not shared_redis.llen(f"{NAMESPACE}:default") and datetime.now(UTC) < deadline:
        pass
    assert shared_redis.lrange(f"{NAMESPACE}:default", 0, -1) == [f"{task['id']}:1".encode()]


def test_a_delayed_task_is_scheduled(api: Api) -> None:
    task = api.submit(delay_seconds=60)
    assert task["state"] == "scheduled"
    due = datetime.fromisoformat(task["run_at"]) - datetime.fromisoformat(task["created_at"])
    assert due == timedelta(seconds=60)
    later = (datetime.now(UTC) + timedelta(days=300)).isoformat()
    assert api.submit(run_at=later)["state"] == "scheduled"
    assert api.submit(run_at="2026-01-01T00:00:00Z")["state"] == "queued"


def test_limits_of_the_type_are_defaults_and_callers_may_lower_them(api: Api) -> None:
    assert api.submit()["hard_timeout_seconds"] == 600
    task = api.submit(hard_timeout_seconds=5, max_attempts=1, queue="low_priority")
    assert (task["soft_timeout_seconds"], task["hard_timeout_seconds"]) == (5, 5)
    assert (task["max_attempts"], task["queue"]) == (1, "low_priority")


SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
ITEM = "0193aaaa-0000-7000-8000-000000000000"
BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"name": 5}, "/name"),
    ({"name": ""}, "/name"),
    ({"name": None}, "/name"),
    ({"name": "x" * 201}, "/name"),
    ({"name": "no.such_type"}, "/name"),
    ({"params": []}, "/params"),
    ({"params": None}, "/params"),
    ({"params": "{}"}, "/params"),
    ({"params": {}}, "/params/value"),
    ({"params": {"value": 1, "more": 2}}, "/params/more"),
    ({"params": {"value": 1, "a/b~c": 2}}, "/params/a~1b~0c"),
    ({"params": {"value": "\x00"}}, "/params/value"),
    ({"params": {"value": {"a": ["\x00"]}}}, "/params/value/a/0"),
    ({"params": {"value": {"\x00": 1}}}, "/params/value"),
    ({"queue": 1}, "/queue"),
    ({"queue": ""}, "/queue"),
    ({"queue": "no_such_queue"}, "/queue"),
    ({"queue": "x" * 65}, "/queue"),
    ({"delay_seconds": -1}, "/delay_seconds"),
    ({"delay_seconds": "5"}, "/delay_seconds"),
    ({"delay_seconds": True}, "/delay_seconds"),
    ({"delay_seconds": 315_619_201}, "/delay_seconds"),
    ({"run_at": "tomorrow"}, "/run_at"),
    ({"run_at": 1_800_000_000}, "/run_at"),
    ({"run_at": "1800000000"}, "/run_at"),
    ({"run_at": "2026-12-01"}, "/run_at"),
    ({"run_at": "2026-12-01T00:00:00"}, "/run_at"),
    ({"run_at": "2026-13-01T00:00:00Z"}, "/run_at"),
    ({"run_at": "2199-01-01T00:00:00Z"}, "/run_at"),
    ({"run_at": "0001-01-01T00:00:00Z"}, "/run_at"),
    ({"run_at": SOON, "delay_seconds": 1}, "/run_at"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ({"expires_at": SOON, "delay_seconds": 7200}, "/expires_at"),
    ({"expires_at": False}, "/expires_at"),
    ({"name": "diagnostics.sleep", "params": {"seconds": "1"}}, "/params/seconds"),
    ({"name": "diagnostics.sleep", "params": {"seconds": True}}, "/params/seconds"),
    ({"name": "diagnostics.sleep", "params": {"seconds": 1, "in_c": 1}}, "/params/in_c"),
    ({"name": "diagnostics.fail", "params": {"times": "1"}}, "/params/times"),
    ({"name": "diagnostics.crash", "params": {"times": True}}, "/params/times"),
    ({"name": "diagnostics.allocate", "params": {"megabytes": "1"}}, "/params/megabytes"),
    ({"name": "files.generate_thumbnail", "params": {"item_id": ITEM, "width": "10"}}, "/params/width"),
    ({"name": "files.generate_thumbnail", "params": {"item_id": ITEM, "height": True}}, "/params/height"),
    ({"name": "files.process_large_file", "params": {"item_id": 7}}, "/params/item_id"),
    ({"name": "email.send", "params": {"to_email": "a@example.org", "subject": 1, "text": "x"}}, "/params/subject"),
    ({"expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at"),
    ({"expires_at": "9999-12-31T23:59:59Z"}, "/expires_at"),
    ({"expires_at": "2199-01-01T00:00:00Z"}, "/expires_at"),
    ({"run_at": "9999-12-31T23:59:59-12:00"}, "/run_at"),
    ({"run_at": "0001-01-01T00:00:00+12:00"}, "/run_at"),
    ({"max_attempts": 0}, "/max_attempts"),
    ({"max_attempts": 101}, "/max_attempts"),
    ({"max_attempts": 1.5}, "/max_attempts"),
    ({"max_attempts": "3"}, "/max_attempts"),
    ({"max_attempts": True}, "/max_attempts"),
    ({"soft_timeout_seconds": 0}, "/soft_timeout_seconds"),
    ({"soft_timeout_seconds": 0.999}, "/soft_timeout_seconds"),
    ({"hard_timeout_seconds": 0.05}, "/hard_timeout_seconds"),
    ({"soft_timeout_seconds": 601}, "/soft_timeout_seconds"),
    ({"hard_timeout_seconds": -5}, "/hard_timeout_seconds"),
    ({"hard_timeout_seconds": 604_801}, "/hard_timeout_seconds"),
    ({"tags": "a"}, "/tags"),
    ({"tags": [""]}, "/tags/0"),
    ({"tags": ["a", "x" * 65]}, "/tags/1"),
    ({"tags": ["a", 5]}, "/tags/1"),
    ({"tags": ["a", "\x00"]}, "/tags/1"),
    ({"tags": [str(n) for n in range(21)]}, "/tags"),
    ({"unique": "k"}, "/unique"),
    ({"unique": {"key": "k"}}, "/unique/while"),
    ({"unique": {"key": "", "while": "active"}}, "/unique/key"),
    ({"unique": {"key": "x" * 201, "while": "active"}}, "/unique/key"),
    ({"unique": {"key": "k", "while": "ever"}}, "/unique/while"),
    ({"unique": {"key": "k", "hold": "active", "while": "active"}}, "/unique/hold"),
    ({"on_cancel": "explode"}, "/on_cancel"),
    ({"limits": {"key": "k"}}, "/limits"),
    ({"callback_url": "http://example.org"}, "/callback_url"),
    ({"workflow_id": str(UUID(int=1))}, "/workflow_id"),
    ({"id": "order-7"}, "/id"),
]


def test_every_wrong_field_is_named_and_nothing_is_stored(api: Api) -> None:
    for change, pointer in BAD_FIELDS:
        answer = api.http.post("/api/v1/tasks", json={**ECHO, **change})
        assert answer.status_code == 422, (change, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert pointer in pointers(answer.json()), (change, answer.text)
        batch = api.http.post("/api/v1/tasks/batch", json={"tasks": [ECHO, {**ECHO, **change}]})
        assert batch.status_code == 422, (change, batch.text)
        assert f"/tasks/1{pointer}" in pointers(batch.json()), (change, batch.text)
    assert api.count_tasks() == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_request"),
        (b"{", 400, "malformed_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": ', 400, "malformed_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": NaN}}', 400, "malformed_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": 1e400}}', 400, "malformed_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": "\\ud800"}}', 400, "malformed_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": "\xff"}}', 400, "malformed_request"),
        (b'{"name": "diagnostics.echo", "name": "diagnostics.fail"}', 400, "malformed_request"),
        (b'\xef\xbb\xbf{"name": "diagnostics.echo"}', 400, "malformed_request"),
        (b"[]", 422, "invalid_request"),
        (b"null", 422, "invalid_request"),
        (b'"name"', 422, "invalid_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": 99999999999999999999}}', 422, "invalid_request"),
        (b'{"name": "diagnostics.echo", "params": {"value": ' + b"9" * 5000 + b"}}", 400, "malformed_request"),
        (
            b'{"name": "diagnostics.echo", "params": {"value": ' + b"[" * 31 + b"]" * 31 + b"}}",
            422,
            "invalid_request",
        ),
        (b"[" * 100_000 + b"]" * 100_000, 400, "malformed_request"),
        (b"[" * 1000 + b"]" * 1000, 422, "invalid_request"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, 422, "invalid_request"),
    ],
)
def test_invalid_and_excessive_json_is_refused(api: Api, body: bytes, status: int, code: str) -> None:
    for path in ("/api/v1/tasks", "/api/v1/tasks/batch"):
        answer = api.http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert api.count_tasks() == 0


def test_colons_in_texts_and_deep_but_allowed_values_pass(api: Api) -> None:
    value: Any = "a:b {[\\u0000"
    for _ in range(28):
        value = [value]
    task = api.submit(params={"value": value})
    assert api.http.get(f"/api/v1/tasks/{task['id']}").json()["params"] == {"value": value}


def test_parameters_over_their_limit_are_refused_alone_and_in_a_batch(api: Api) -> None:
    large = {"name": "diagnostics.echo", "params": {"value": "x" * (256 * 1024)}}
    answer = api.http.post("/api/v1/tasks", json=large)
    assert (answer.status_code, pointers(answer.json())) == (422, ["/params"])
    batch = api.http.post("/api/v1/tasks/batch", json={"tasks": [ECHO, large]})
    assert (batch.status_code, pointers(batch.json())) == (422, ["/tasks/1/params"])
    fits = {"name": "diagnostics.echo", "params": {"value": "x" * (255 * 1024)}}
    assert api.http.post("/api/v1/tasks/batch", json={"tasks": [fits] * 10}).status_code == 202


def test_a_batch_keeps_its_order_and_is_all_or_nothing(api: Api) -> None:
    tasks = [{"name": "diagnostics.echo", "params": {"value": n}} for n in range(1000)]
    answer = api.http.post("/api/v1/tasks/batch", json={"tasks": tasks})
    assert answer.status_code == 202
    answers.Batch.model_validate_json(answer.content)
    ids = [item["id"] for item in answer.json()["items"]]
    with api.engine.connect() as conn:
        rows = conn.execute(sa.text("SELECT id, params FROM task")).all()
    values = {str(row.id): row.params["value"] for row in rows}
    assert [values[i] for i in ids] == list(range(1000))
    for wrong in ([], tasks + tasks[:1]):
        refused = api.http.post("/api/v1/tasks/batch", json={"tasks": wrong})
        assert (refused.status_code, pointers(refused.json())) == (422, ["/tasks"])
    bad = [*tasks[:3], {"name": "nope"}, {**ECHO, "params": {}}]
    refused = api.http.post("/api/v1/tasks/batch", json={"tasks": bad})
    assert pointers(refused.json()) == ["/tasks/3/name", "/tasks/4/params/value"]
    assert api.count_tasks() == 1000


def test_parameters_of_the_right_kind_pass(api: Api) -> None:
    """Strict: text is not read as a number; but ids and addresses are text, and 1 is a float, too."""
    for name, params in (
        ("diagnostics.sleep", {"seconds": 1, "in_c": False}),
        ("diagnostics.crash", {"signal": 9}),
        ("diagnostics.crash", {"signal": "KILL", "times": 2}),
        ("diagnostics.echo", {"value": {"a": [1, 1.5, None, "x", True]}}),
        ("files.process_large_file", {"item_id": ITEM, "pattern": "^a"}),
        ("files.generate_thumbnail", {"item_id": ITEM, "width": 10}),
        ("email.send", {"to_email": "a@example.org", "subject": "Hi", "text": "x"}),
        ("email.send_welcome", {"to_email": "a@b.org", "username": "eva", "action_url": "https://example.org/x"}),
        ("health.check", {}),
    ):
        task = api.submit(name, params=params)
        assert task["params"].items() >= {k: v for k, v in params.items() if k != "signal"}.items()


def test_secrets_are_encrypted_at_rest_and_masked_in_answers(
    start_api: Callable[..., Api], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_tasks.py").write_text(
        "from taskyard.catalogue.secrets import Secret\n"
        "from taskyard.catalogue.types import Params, Result, TaskType\n"
        "class LoginParams(Params):\n    token: Secret[str]\n    times: int\n"
        "class LoginResult(Result):\n    ok: bool\n"
        "LOGIN = TaskType(name='own.login', description='', params=LoginParams, result=LoginResult)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    api = start_api(modules=["own_tasks"])
    task = api.submit("own.login", params={"token": "hunter2", "times": 1})
    assert task["params"] == {"token": "***", "times": 1}
    assert api.http.get(f"/api/v1/tasks/{task['id']}").json()["params"]["token"] == "***"
    with api.engine.connect() as conn:
        stored = conn.execute(sa.text("SELECT params FROM task")).scalar_one()
    assert "hunter2" not in orjson.dumps(stored).decode()
    refused = api.http.post(
        "/api/v1/tasks", json={"name": "own.login", "params": {"token": ["hunter2"], "times": "hunter2"}}
    )
    assert refused.status_code == 422
    assert "hunter2" not in refused.text


def test_a_unique_task_is_refused_while_the_other_holds_the_key(api: Api) -> None:
    unique = {"key": "report-7", "while": "active"}
    first = api.submit(unique=unique)
    for body in (
        {**ECHO, "unique": unique},
        {**ECHO, "unique": {**unique, "while": "waiting"}},
    ):
        second = api.http.post("/api/v1/tasks", json=body)
        assert (second.status_code, second.json()["code"]) == (409, "not_unique")
        assert second.json()["task_id"] == first["id"]
    twice = api.http.post("/api/v1/tasks/batch", json={"tasks": [{**ECHO, "unique": {**unique, "key": "x"}}] * 2})
    assert (twice.status_code, pointers(twice.json())) == (422, ["/tasks/1/unique/key"])
    # Keys of another type do not collide with these, and a batch that loses one key takes none.
    api.submit("diagnostics.sleep", params={"seconds": 0}, unique=unique)
    both = [{**ECHO, "unique": {**unique, "key": "free"}}, {**ECHO, "unique": unique}]
    assert api.http.post("/api/v1/tasks/batch", json={"tasks": both}).status_code == 409
    api.submit(unique={**unique, "key": "free"})
    api.http.post(f"/api/v1/tasks/{first['id']}/cancel")
    api.submit(unique=unique)
    assert api.count_tasks() == 4


def test_tasks_are_counted_by_queue_type_and_result(api: Api) -> None:
    api.submit()
    api.submit(queue="low_priority")
    registry = api.service.metrics.registry

    def value(queue: str) -> float | None:
        labels = {"queue": queue, "task": "diagnostics.echo", "result": "accepted"}
        return registry.get_sample_value("taskyard_tasks_submitted_total", labels)

    assert (value("default"), value("low_priority")) == (1, 1)
    answered = registry.get_sample_value(
        "taskyard_http_requests_total", {"method": "POST", "route": "/api/v1/tasks", "code": "202"}
    )
    assert answered == 2


def test_refused_submits_are_counted_by_the_requested_type_and_queue(api: Api) -> None:
    def count(queue: str, task: str, result: str = "refused") -> float | None:
        labels = {"queue": queue, "task": task, "result": result}
        return api.service.metrics.registry.get_sample_value("taskyard_tasks_submitted_total", labels)

    bad_echo = {"name": "diagnostics.echo", "params": {}}
    api.http.post("/api/v1/tasks", json=bad_echo)
    api.http.post("/api/v1/tasks", json={**bad_echo, "queue": "low_priority"})
    api.http.post("/api/v1/tasks/batch", json={"tasks": [ECHO, {"name": "diagnostics.sleep"}]})
    assert count("default", "diagnostics.echo") == 2
    assert count("low_priority", "diagnostics.echo") == 1
    assert count("default", "diagnostics.sleep") == 1
    strange: list[Any] = [{"name": "nope"}, {"name": 7}, [], {"tasks": 1}]
    for body in strange:
        api.http.post("/api/v1/tasks", json=body)
    assert count("_other", "_other") == 4


def test_too_much_to_write_is_counted_as_unavailable(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise Overloaded(message("Too much waits to be written."))

    monkeypatch.setattr(Collector, "submit", full)
    assert api.http.post("/api/v1/tasks", json=ECHO).status_code == 503
    labels = {"queue": "default", "task": "diagnostics.echo", "result": "unavailable"}
    assert api.service.metrics.registry.get_sample_value("taskyard_tasks_submitted_total", labels) == 1


def test_every_declared_status_is_counted_from_zero(api: Api) -> None:
    def count(method: str, route: str, code: int) -> float | None:
        labels = {"method": method, "route": route, "code": str(code)}
        return api.service.metrics.registry.get_sample_value("taskyard_http_requests_total", labels)

    for code in (202, 409, 413, 422, 429, 503):
        assert count("POST", "/api/v1/tasks", code) == 0
    assert count("POST", "/api/v1/tasks", 200) is None
    assert count("GET", "/api/v1/tree-items/{item_id}/content", 206) == 0
    families = api.service.metrics.registry.collect()
    assert sum(len(family.samples) for family in families) < 30 * len(routes_of())
