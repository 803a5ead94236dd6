"""What a connection may cost before its key is checked."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from taskyard_api import bounds
from tests.integration.api.conftest import Api


def connect(api: Api) -> socket.socket:
    host, _, port = api.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def drip(wire: socket.socket, *, seconds: int) -> None:
    for _ in range(10 * seconds):
        wire.sendall(b"x")
        time.sleep(0.1)


def read_all(wire: socket.socket) -> bytes:
    got = b""
    try:
        while piece := wire.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return got


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nX: "], ids=["address", "header"])
def test_an_endless_head_is_refused_and_not_buffered(api: Api, start: bytes) -> None:
    with connect(api) as wire:
        wire.sendall(start)
        sent = 0
        try:
            while sent < 60_000_000:
                sent += wire.send(b"x" * 65536)
        except ConnectionError:
            pass
        assert sent < 20_000_000, "the kernel's buffers hold some of it, the service none"
    with connect(api) as wire:
        wire.sendall(start + b"x" * (bounds.MAX_HEAD_BYTES + 1))
        answer = read_all(wire)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["code"] == "head_too_large"


def test_malformed_http_is_answered_with_a_problem_document(api: Api) -> None:
    with connect(api) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        head, _, body = read_all(wire).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "malformed_request"


def test_beyond_the_limit_of_connections_the_answer_is_a_problem_document(
    start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = start_api()
    with connect(api) as first, connect(api) as second:
        first.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in first.recv(65536)
        monkeypatch.setattr(api.server.config, "limit_concurrency", 2)
        second.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n")
        head, _, body = read_all(second).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    told = json.loads(body)
    assert (told["status"], told["code"]) == (503, "overloaded")
    for header in (b"content-type: application/problem+json", b"retry-after: 1", b"connection: close"):
        assert header in head
    assert f"x-request-id: {told['request_id']}".encode() in head
    with connect(api) as alone:
        alone.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_all(alone).startswith(b"HTTP/1.1 200 "), "there is room again"


def test_stalled_requests_are_given_up_and_slow_ones_are_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(bounds, "_IDLE_LOOKS", 4)
    task = api.submit()["id"]
    key = f"Authorization: {api.http.headers['Authorization']}\r\n".encode()
    post = b"POST /api/v1/tree-items HTTP/1.1\r\nHost: x\r\nX-Filename: a\r\n"
    stalled = {
        "nothing": b"",
        "head": b"GET / HTTP/1.1\r\nHost",
        "body, none of it": post + key + b"Content-Length: 10\r\n\r\n",
        "body": post + key + b"Content-Length: 10\r\n\r\nabc",
        "body of who has no key": post + b"Content-Length: 10\r\n\r\nabc",
    }
    for what, sent in stalled.items():
        with connect(api) as wire:
            wire.sendall(sent)
            started = time.monotonic()
            read_all(wire)
            assert time.monotonic() - started < 5, what
    # A head that arrives byte by byte is given up, too.
    with connect(api) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            drip(wire, seconds=3)
    # A slow upload that continues, a client that waits for its answer, a client between two requests.
    with connect(api) as wire:
        wire.sendall(post + key + b"Content-Length: 20\r\nConnection: close\r\n\r\n")
        drip(wire, seconds=2)
        assert read_all(wire).startswith(b"HTTP/1.1 201 ")
    with connect(api) as wire:
        wire.sendall(f"GET /api/v1/tasks/{task}?wait=2 HTTP/1.1\r\nHost: x\r\n".encode() + key + b"\r\n")
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(1.5)
        wire.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_the_beginning_of_a_next_request_does_not_end_the_wait_for_an_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LOOK_SECONDS", 0.2)
    task = api.submit()["id"]
    key = f"Authorization: {api.http.headers['Authorization']}\r\n\r\n".encode()
    with connect(api) as wire:
        wire.sendall(f"GET /api/v1/tasks/{task}?wait=2 HTTP/1.1\r\nHost: x\r\n".encode() + key + b"GET /health/live HT")
        assert read_all(wire).startswith(b"HTTP/1.1 200 "), "and then the rest of that head is waited for as long"


def test_garbage_behind_a_request_is_dropped_up_to_a_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_LEFTOVER_BYTES", 1_000_000)
    task = api.submit()["id"]
    key = f"Authorization: {api.http.headers['Authorization']}\r\n\r\n".encode()
    with connect(api) as wire:
        wire.sendall(f"GET /api/v1/tasks/{task}?wait=30 HTTP/1.1\r\nHost: x\r\n".encode() + key + b"garbage\r\n\r\n")
        sent = 0
        try:
            while sent < 60_000_000:
                sent += wire.send(b"x" * 65536)
        except ConnectionError:
            pass
    assert sent < 20_000_000, "the kernel's buffers hold some of it, the service none"
