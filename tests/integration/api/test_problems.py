"""Every refusal is a problem document, whichever part of the service refuses."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import structlog

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.retry import retry_task
from taskyard_api import answers, gate, views
from taskyard_api.resources import task_actions
from taskyard_api.resources.tasks import task_seen
from tests.integration.api.conftest import Api

JSON = {"Content-Type": "application/json"}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    answers.ProblemDocument.model_validate(document)
    assert (document["status"], document["code"]) == (status, code)
    assert document["request_id"] == answer.headers["X-Request-ID"]
    return document


def test_unknown_paths_and_ids_are_404(api: Api) -> None:
    for path in (
        "/nope",
        "/docs/nope",
        "/api/v1",
        "/api/v1/tasks/",
        "/api/v1/tasks/x/y/z",
        "/api/v1/%00",
        "/api/v1/tasks/%ff",
    ):
        problem(api.http.get(path), 404, "not_found")
    for path in (
        "tasks/not-an-id",
        "tasks/00000000-0000-0000-0000-00000000000g",
        "tasks/{00000000-0000-0000-0000-000000000000}",
        "tasks/00000000-0000-0000-0000-000000000000",
        "tasks/" + "0" * 5000,
        "task-types/nope",
        "queues/nope",
        "queues/%00",
        "workers/nope",
        "tree-items/nope",
    ):
        answer = api.http.get(f"/api/v1/{path}")
        problem(answer, 404, "not_found")


def test_unknown_methods_are_405(api: Api) -> None:
    for method, path, allowed in (
        ("DELETE", "/api/v1/tasks", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("PUT", "/api/v1/tasks/batch", {"POST", "OPTIONS"}),
        ("PATCH", "/health/live", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/api/v1/queues", {"GET", "HEAD", "OPTIONS"}),
    ):
        answer = api.http.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert {m.strip() for m in answer.headers["Allow"].split(",")} == allowed
    assert api.http.request("BREW", "/api/v1/tasks").status_code in {400, 405}


def test_media_types_that_are_not_offered_are_406(api: Api) -> None:
    for accept in ("text/html", "image/*", "application/xml;q=0.9"):
        problem(api.http.get("/api/v1/tasks", headers={"Accept": accept}), 406, "not_acceptable")
    for accept in ("*/*", "application/*", "text/html, application/json;q=0.1", "application/problem+json"):
        assert api.http.get("/api/v1/tasks", headers={"Accept": accept}).status_code == 200


def test_bodies_of_other_media_types_are_415(api: Api) -> None:
    body = b'{"name": "diagnostics.echo", "params": {"value": 1}}'
    for content_type in (None, "", "text/plain", "application/xml", "application/json; charset=latin-1", "\xff"):
        headers = [] if content_type is None else [(b"Content-Type", content_type.encode("latin-1"))]
        answer = api.http.post("/api/v1/tasks", content=body, headers=headers)
        problem(answer, 415, "unsupported_media_type")
    packed = {**JSON, "Content-Encoding": "gzip"}
    problem(api.http.post("/api/v1/tasks", content=body, headers=packed), 415, "unsupported_media_type")
    for content_type in ("application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        answer = api.http.post("/api/v1/tasks", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 202


def test_bodies_that_are_too_large_however_they_are_sent(api: Api) -> None:
    mebibyte = 1024 * 1024

    def chunks(size: int) -> Any:
        for _ in range(size // 65536 + 1):
            yield b" " * 65536

    for path, limit in (("/api/v1/tasks", mebibyte), ("/api/v1/tasks/batch", 16 * mebibyte)):
        declared = api.http.post(path, content=b" " * (limit + 1), headers=JSON)
        problem(declared, 413, "body_too_large")
        chunked = api.http.post(path, content=chunks(limit), headers=JSON)
        problem(chunked, 413, "body_too_large")
    assert api.http.post("/api/v1/tasks", content=b" " * mebibyte, headers=JSON).status_code == 400


def test_a_body_that_ends_too_early_submits_nothing(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    body = b'{"name": "diagnostics.echo", "params": {"value": 1}}'
    head = f"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {api.http.headers['Authorization']}\r\n"
    for framing in (
        f"Content-Length: {len(body) + 1}\r\n\r\n".encode() + body,
        b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n".encode() + body + b"\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=5) as wire:
            wire.sendall(head.encode() + b"Content-Type: application/json\r\n" + framing)
            wire.shutdown(socket.SHUT_WR)
            wire.recv(1000)
    assert api.http.get("/api/v1/tasks").json()["items"] == []


def test_wrong_query_parameters_are_named(api: Api) -> None:
    for query, name in (
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=x", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("cursor=x", "?cursor"),
        ("cursor=" + "A" * 300, "?cursor"),
        ("cursor=%00", "?cursor"),
        ("state=nope", "?state"),
        ("state=", "?state"),
        ("state=queued,nope", "?state"),
        ("name=", "?name"),
        ("name=%00", "?name"),
        ("queue=%ff", "?queue"),
        ("tag=" + "x" * 65, "?tag"),
        ("created_after=yesterday", "?created_after"),
        ("created_before=2026-01-01", "?created_before"),
        ("created_before=9999-12-31T23:59:59Z", "?created_before"),
        ("created_after=9999-12-31T23:59:59-12:00", "?created_after"),
        ("created_after=0001-01-01T00:00:00Z", "?created_after"),
        ("created_after=0001-01-01T00:00:00%2B12:00", "?created_after"),
        ("unknown=1", "?unknown"),
    ):
        document = problem(api.http.get(f"/api/v1/tasks?{query}"), 422, "invalid_request")
        assert [e["pointer"] for e in document["errors"]] == [name], query
    task = api.submit()
    for wait in ("61", "-1", "nan", "x", "inf"):
        problem(api.http.get(f"/api/v1/tasks/{task['id']}?wait={wait}"), 422, "invalid_request")


def test_an_unexpected_error_shows_only_its_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(views, "send", broken)
    answer = api.http.get("/api/v1/task-types", headers={"X-Request-ID": "find-me"})
    problem(answer, 500, "internal_error")
    assert answer.json()["request_id"] == "find-me"
    assert "hunter2" not in answer.text


def test_request_ids_are_taken_only_where_they_are_harmless(api: Api) -> None:
    for given in (b"a" * 129, b"a\tb", "ü".encode(), b"\xff", b""):
        answer = api.http.get("/health/live", headers=[(b"X-Request-ID", given)])
        assert len(answer.headers["X-Request-ID"]) == 36
    assert api.http.get("/health/live", headers={"X-Request-ID": "x" * 128}).headers["X-Request-ID"] == "x" * 128
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert api.http.get("/health/live", headers={"traceparent": trace}).headers["traceparent"] == trace
    for bad in (
        trace.upper(),
        trace[:-1],
        "ff" + trace[2:],
        trace.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
    ):
        assert api.http.get("/health/live", headers={"traceparent": bad}).headers["traceparent"] != bad


def test_other_origins_are_let_in_only_where_they_are_set(start_api: Callable[..., Api]) -> None:
    origin = {"Origin": "https://app.example.org"}
    assert "Access-Control-Allow-Origin" not in start_api().http.get("/health/live", headers=origin).headers
    api = start_api(cors_origins="https://app.example.org")
    allowed = api.http.get("/health/live", headers=origin).headers
    assert allowed["Access-Control-Allow-Origin"] == "https://app.example.org"
    other = api.http.get("/health/live", headers={"Origin": "https://evil.example.org"}).headers
    assert "Access-Control-Allow-Origin" not in other
    assert "Origin" in allowed["Vary"]
    assert "Origin" in other["Vary"], "a cache would keep this one for those who are let in"


def test_unknown_query_parameters_are_refused(api: Api) -> None:
    task = api.submit()["id"]
    for method, path in (
        ("GET", "/health/live"),
        ("GET", "/api/v1/task-types"),
        ("GET", "/api/v1/queues"),
        ("GET", f"/api/v1/tasks/{task}/status"),
        ("POST", f"/api/v1/tasks/{task}/cancel"),
        ("POST", "/api/v1/tasks"),
    ):
        body = {"name": "diagnostics.echo", "params": {"value": 1}} if path.endswith("/tasks") else None
        document = problem(api.http.request(method, f"{path}?dry_run=1", json=body), 422, "invalid_request")
        assert [e["pointer"] for e in document["errors"]] == ["?dry_run"], path
    assert api.count_tasks() == 1
    assert api.http.get(f"/api/v1/tasks/{task}").json()["state"] == "queued"


def test_a_refused_retry_names_the_current_state(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    task = api.submit()["id"]
    api.http.post(f"/api/v1/tasks/{task}/cancel")

    def another_caller_was_faster(*given: Any, **more: Any) -> Committed[bool]:
        retry_task(*given, **more)
        return retry_task(*given, **more)

    monkeypatch.setattr(task_actions, "retry_task", another_caller_was_faster)
    document = problem(api.http.post(f"/api/v1/tasks/{task}/retry"), 409, "state_conflict")
    assert document["state"] == "queued"


def test_a_retry_that_cannot_be_shown_is_not_done(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one transaction with its answer: a caller that got 503 asks again."""
    task = api.submit()["id"]
    api.http.post(f"/api/v1/tasks/{task}/cancel")
    calls: list[Any] = []

    def seen_once(*about: Any) -> Any:
        calls.append(about)
        if len(calls) > 1:
            raise LedgerUnavailable("connection refused")
        return task_seen(*about)

    monkeypatch.setattr(task_actions, "task_seen", seen_once)
    problem(api.http.post(f"/api/v1/tasks/{task}/retry"), 503, "ledger_unavailable")
    with api.engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT state FROM task").scalar_one() == "cancelled"


def test_lines_of_the_log_carry_request_and_trace(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        seen.append(structlog.contextvars.get_contextvars() | event)
        raise structlog.DropEvent

    monkeypatch.setattr(gate, "log", structlog.wrap_logger(None, processors=[keep]))
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": trace, "X-Request-ID": "find-me", "Authorization": "Bearer nonsense"}
    assert api.client(None).get("/api/v1/tasks", headers=headers).status_code == 401
    assert [(e["request_id"], e["trace_id"]) for e in seen if e["event"] == "key_refused"] == [("find-me", trace[3:35])]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/api/v1/tasks", [], ""),
        ("/api/v1/tasks", {"name": "diagnostics.echo", "params": []}, "/params"),
        ("/api/v1/tasks", {"name": "diagnostics.echo", "params": {"value": 1}, "unique": 1}, "/unique"),
        ("/api/v1/tasks/batch", {"tasks": [1]}, "/tasks/0"),
    ],
)
def test_errors_are_worded_in_terms_of_json(api: Api, path: str, body: Any, where: str) -> None:
    refused = api.http.post(path, json=body)
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"pointer": where, "message": "Must be a JSON object."}],
    )
