"""Ordinary submits take a short way past the application. They are answered as it would answer, and nothing else takes
that way."""

import gc
import inspect
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taskyard.lifecycle.submit import NewTask, submit_first
from taskyard.store import ledger
from taskyard_api import short_way
from taskyard_api.admission import Admission
from taskyard_api.short_way import ShortWay, UnderWay
from taskyard_api.views import TaskViews
from tests.integration.api.conftest import Api
from tests.integration.api.test_bounds import connect, read_all
from tests.support.fleet import wait_for

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


def post(api: Api, body: Any = ECHO, *lines: str) -> bytes:
    """A request as clients send it: always the same head, but for the length."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    key = api.http.headers["Authorization"]
    head = ["POST /api/v1/tasks HTTP/1.1", "Host: x", f"Authorization: {key}", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        self.status = int(line.split()[1])
        self.headers = dict(text.split(": ", 1) for text in lines)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def read(wire: socket.socket) -> Answer:
    got = b""
    while True:
        piece = wire.recv(65536)
        assert piece, f"the connection ended behind {got!r}"
        got += piece
        if b"\r\n\r\n" in got:
            answer = Answer(got)
            if len(answer.body) == int(answer.headers["content-length"]):
                return answer


def ask(wire: socket.socket, request: bytes) -> Answer:
    wire.sendall(request)
    return read(wire)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[UnderWay]:
    """What took the short way."""
    taken: list[UnderWay] = []
    begin = ShortWay.begin

    def watched(self: ShortWay, segment: bytes, to: Any) -> UnderWay | None:
        submit = begin(self, segment, to)
        if submit is not None:
            taken.append(submit)
        return submit

    monkeypatch.setattr(ShortWay, "begin", watched)
    return taken


def warm(api: Api, wire: socket.socket, request: bytes | None = None) -> Answer:
    """The answer of the application, after which the head is known."""
    answer = ask(wire, request or post(api))
    ask(wire, request or post(api))  # the first time the key was not known either
    return answer


def test_an_ordinary_submit_is_answered_as_the_application_answers(api: Api, short: list[UnderWay]) -> None:
    with connect(api) as wire:
        slow = warm(api, wire)
        before = len(short)
        fast = ask(wire, post(api))
        assert len(short) == before + 1
    assert (fast.status, slow.status) == (202, 202)
    assert fast.headers.keys() == slow.headers.keys()
    assert fast.headers["location"] == f"/api/v1/tasks/{fast.json['id']}"
    differ = {"id", "created_at", "run_at", "expires_at", "request_id", "trace_id"}
    assert {k: v for k, v in fast.json.items() if k not in differ} == {
        k: v for k, v in slow.json.items() if k not in differ
    }
    assert fast.json["request_id"] == fast.headers["x-request-id"]
    assert fast.json["trace_id"] == fast.headers["traceparent"][3:35]
    stored = api.http.get(f"/api/v1/tasks/{fast.json['id']}").json()
    assert {k: stored[k] for k in differ} == {k: fast.json[k] for k in differ}


def test_a_head_is_known_whatever_the_length_of_its_body(api: Api, short: list[UnderWay]) -> None:
    with connect(api) as wire:
        warm(api, wire)
        begun = len(short)
        values = ["v" * 3**n for n in range(9)]
        tasks = [ask(wire, post(api, {**ECHO, "params": {"value": value}})).json["id"] for value in values]
    assert len(short) == begun + len(values)
    assert [api.http.get(f"/api/v1/tasks/{task}").json()["params"]["value"] for task in tasks] == values


def test_what_is_not_ordinary_goes_to_the_application(api: Api, short: list[UnderWay]) -> None:
    chosen = {**ECHO, "id": "01939aaa-0000-7000-8000-000000000001"}
    others: list[tuple[int, Any, tuple[str, ...]]] = [
        (422, {"name": "diagnostics.ech"}, ()),
        (422, {**ECHO, "params": {"unknown": 1}}, ()),
        (422, {**ECHO, "unknown": 1}, ()),
        (400, b'{"name": "diagnostics.echo", "params": {"value": }}', ()),
        (400, b'{"name": "diagnostics.echo", "params": {"value": 1, "value": 2}}', ()),
        (202, chosen, ()),
        (409, chosen, ()),
        (202, {**ECHO, "unique": {"key": "k", "while": "active"}}, ()),
        (409, {**ECHO, "unique": {"key": "k", "while": "active"}}, ()),
        (202, ECHO, ("Idempotency-Key: a",)),
        (202, ECHO, ("X-Request-ID: mine",)),
        (202, ECHO, (f"traceparent: 00-{'a' * 32}-{'b' * 16}-01",)),
        (406, ECHO, ("Accept: text/html",)),
        (202, ECHO, ("Connection: upgrade", "Upgrade: websocket")),
    ]
    with connect(api) as wire:
        warm(api, wire)
        begun = len(short)
        for status, body, lines in others:
            request = post(api, body, *lines)
            answer, again = ask(wire, request), ask(wire, request)
            if status == 202 and "unique" not in body and body is not chosen:
                assert (answer.status, again.status) == (202, 202), lines
            else:
                assert status in {answer.status, again.status}, (body, lines)
            if lines == ("Idempotency-Key: a",):
                assert again.headers["idempotency-replayed"] == "true"
                assert answer.body == again.body
    assert len(short) == begun


def test_a_key_that_may_not_submit_or_is_over_its_rate_is_refused(
    start_api: Callable[..., Api], short: list[UnderWay]
) -> None:
    api = start_api(rate_limit_per_second=4)
    with connect(api) as wire:
        statuses = [ask(wire, post(api)).status for _ in range(12)]
    assert statuses[:4] == [202] * 4
    assert 429 in statuses
    assert statuses.count(202) <= 6
    assert short, "within its rate"
    reader = api.key("read")
    api.http.headers["Authorization"] = f"Bearer {reader}"
    with connect(api) as wire:
        assert {ask(wire, post(api)).status for _ in range(3)} == {403}


@contextmanager
def under_way(api: Api, wire: socket.socket, short: list[UnderWay]) -> Iterator[None]:
    """A submit that cannot be committed before the end of the block."""
    begun = len(short)
    with ledger.transaction(api.engine) as conn:
        conn.exec_driver_sql("LOCK TABLE task IN SHARE MODE")
        wire.sendall(post(api))
        wait_for(lambda: len(short) > begun, what="the submit to be under way")
        yield


def test_requests_that_follow_at_once_are_answered_in_their_order(api: Api, short: list[UnderWay]) -> None:
    with connect(api) as wire:
        warm(api, wire)
        begun = len(short)
        with under_way(api, wire, short):
            wire.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            wire.sendall(post(api)[:-1].replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
            wire.sendall(post(api)[-1:])
        got = read_all(wire)
    assert len(short) == begun + 1
    first, second, third = (Answer(b"HTTP/1.1 " + part) for part in got.split(b"HTTP/1.1 ")[1:])
    assert (first.status, second.status, third.status) == (202, 200, 202)
    assert "location" in first.headers
    assert "location" not in second.headers


def test_it_waits_no_longer_than_a_request_may(
    api: Api, short: list[UnderWay], monkeypatch: pytest.MonkeyPatch
) -> None:
    german = post(api, ECHO, "Accept-Language: de")
    with connect(api) as wire:
        warm(api, wire, german)
        with ledger.transaction(api.engine) as conn:
            conn.exec_driver_sql("LOCK TABLE task IN SHARE MODE")
            begun = len(short)
            with monkeypatch.context() as patched, capture_logs(processors=[merge_contextvars]) as logs:
                patched.setattr(short_way, "REQUEST_SECONDS", 0.3)
                late = ask(wire, german)
                logged = wait_for(lambda: [x for x in logs if x["event"] == "request_unavailable"], 10, "the log")
            assert len(short) == begun + 1
        assert (late.status, late.json["code"]) == (503, "ledger_unavailable")
        assert late.headers["content-language"] == "de"
        ids = late.headers["x-request-id"], late.headers["traceparent"][3:35]
        assert [(line["request_id"], line["trace_id"]) for line in logged] == [ids]
        assert late.headers["retry-after"] == "5"
        assert ask(wire, german).status == 202, "the connection goes on"


def test_what_was_answered_is_let_go_while_an_older_one_hangs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hung, let_go = threading.Event(), threading.Event()

    def hanging(conn: Any, tasks: Sequence[NewTask]) -> Any:
        if any(task.tags == ["hang"] for task in tasks):
            hung.set()
            let_go.wait(60)
        return submit_first(conn, tasks)

    monkeypatch.setattr("taskyard_api.submission.submit_first", hanging)
    monkeypatch.setattr(short_way, "REQUEST_SECONDS", 60.0)
    with connect(api) as wire, connect(api) as other:
        warm(api, wire)
        other.sendall(post(api, {**ECHO, "tags": ["hang"]}))
        assert hung.wait(20)
        before = _answered()
        for _ in range(9):
            assert ask(wire, post(api)).status == 202
        kept = _answered() - before
        let_go.set()
        assert read(other).status == 202
    assert kept <= 1, "the connection has its last one"


def _answered() -> int:
    """Submits that were answered and are in memory."""
    gc.collect()
    # Not isinstance(): it asks a proxy of something that is gone for its class.
    return sum(x.response_complete for x in gc.get_objects() if type(x) is UnderWay)


def test_an_unexpected_error_is_answered_and_counted_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("unexpected")

    def value(name: str, **labels: str) -> float | None:
        return api.service.metrics.registry.get_sample_value(f"taskyard_{name}", labels)

    with connect(api) as wire:
        warm(api, wire)
        for place, name in ((Admission, "_admit"), (TaskViews, "of_new")):
            with monkeypatch.context() as patched:
                patched.setattr(place, name, fail)
                answer = ask(
                    wire, post(api, ECHO | {"tags": ["a"]})
                )  # what says more than a name is admitted by itself
                assert (answer.status, answer.json["code"]) == (500, "internal_error"), name
        assert ask(wire, post(api)).status == 202, "the connection goes on"
    api.service.metrics.refresh()
    assert value("http_requests_in_progress") == 0
    assert value("http_requests_total", method="POST", route="/api/v1/tasks", code="500") == 2
    submitted = {"queue": "default", "task": "diagnostics.echo"}
    assert value("tasks_submitted_total", **submitted, result="accepted") == api.count_tasks() == 4
    assert value("tasks_submitted_total", **submitted, result="unavailable") == 0


def test_a_stop_waits_for_its_answers(api: Api, short: list[UnderWay]) -> None:
    with connect(api) as wire:
        warm(api, wire)
        with under_way(api, wire, short):
            api.server.should_exit = True
            wait_for(lambda: not short[-1].keep_alive, what="the server to tell its connections")
        answer = read(wire)
        assert (answer.status, answer.headers["connection"]) == (202, "close")
        assert read_all(wire) == b""


def test_it_has_what_uvicorn_asks_of_a_cycle() -> None:
    """What stands in the place of uvicorn's cycle, whose attributes are no public interface."""
    source = inspect.getsource(HttpToolsProtocol)
    of_parsed_requests = {"body", "run_asgi"}  # only those have a body to come, or are given to the application
    asked = set(re.findall(r"cycle\.(\w+)", source)) - of_parsed_requests
    assert {"response_complete", "keep_alive"} <= asked, "otherwise this looks at the wrong place"
    assert {name for name in asked if not hasattr(UnderWay, name)} == set()
    written = set(re.findall(r"cycle\.(\w+) \+?= ", source)) - of_parsed_requests - {"more_body"}
    assert written <= set(UnderWay.__slots__)
