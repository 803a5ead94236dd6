"""The client against an other end that is not Taskyard's API, or that lies; and against itself, many at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from taskyard_client import ApiAway, ApiRefused, AsyncClient, Client, Retries
from taskyard_client.connection import Connection

TASK = b'{"id": "01890000-0000-7000-8000-000000000000", "name": "a.b", "queue": "default", "state": "queued"}'
FOLLOWERS = 100  # as many connections as httpx2 makes, unless it is told otherwise


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@pytest.fixture
def streaming() -> Iterator[tuple[str, threading.Semaphore]]:
    """Streams that say nothing more after their beginning, which the semaphore counts, and an answer to submits."""
    begun, ended = threading.Semaphore(0), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'data: {"kind": "submitted"}\n\n')
            begun.release()
            ended.wait(60)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202)
            self.end_headers()
            self.wfile.write(TASK)

    with Server(("127.0.0.1", 0), Handler) as server:
        server.block_on_close = False
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", begun
        ended.set()
        server.shutdown()
        serving.join()


@pytest.mark.timeout(60)
def test_many_followers_keep_no_submit_waiting(streaming: tuple[str, threading.Semaphore]) -> None:
    url, begun = streaming
    with Client(url, retries=Retries(seconds=5, attempts=1)) as client:
        following = [client.events("01890000-0000-7000-8000-000000000000") for _ in range(FOLLOWERS)]
        with ThreadPoolExecutor(FOLLOWERS) as threads:
            assert {event.kind for event in threads.map(next, following)} == {"submitted"}
        assert all(begun.acquire(timeout=20) for _ in range(FOLLOWERS))
        assert client.submit("a.b").state == "queued"


@pytest.mark.parametrize("errors", [["no"], [None], {"a": "b"}, 5, "no"])
def test_a_refusal_of_a_gateway_is_told_whatever_its_form(errors: object) -> None:
    answer = httpx2.Response(404, json={"detail": "No such route.", "errors": errors})
    with (
        Client("http://api.test", transport=httpx2.MockTransport(lambda _: answer)) as client,
        pytest.raises(ApiRefused) as refused,
    ):
        client.submit("a.b")
    assert str(refused.value) == "No such route."
    assert list(refused.value.lines()) == ["No such route."]


def test_an_error_without_words_is_told_by_its_name() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("", request=request)

    client = Client("http://api.test", transport=httpx2.MockTransport(answer), retries=Retries(attempts=1))
    with client, pytest.raises(ApiAway, match="does not answer: ReadTimeout"):
        client.submit("a.b")


def test_a_download_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    """Nothing of it is kept, and it is not begun again."""
    item = {"item_id": str(UUID(int=1)), "size": 5, "sha256": "0" * 64}
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while len(sent) < 1000:
            sent.append(2)
            yield b"ab"

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/content"):
            return httpx2.Response(200, content=endless())
        return httpx2.Response(200, json=item)

    client = Client("http://api.test", transport=httpx2.MockTransport(answer))
    with client, pytest.raises(ApiAway, match="longer than"):
        client.files.download(UUID(int=1), tmp_path / "a")
    assert len(sent) == 3
    assert list(tmp_path.iterdir()) == []


def test_no_thread_of_a_forked_process_finds_the_connections_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[httpx2.Client] = []

    class Watched(Connection):
        """After each step, another thread looks."""

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if watching:
                found.append(self._of_this_process())

    watching = False
    connection = Watched({}, Retries(), time.monotonic, time.sleep)
    old = connection._of_this_process()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    watching = True
    new = connection._of_this_process()
    assert new is not old
    assert {id(one) for one in found} == {id(new)}
    old.close()
    connection.close()


@pytest.mark.parametrize("path", ["events", "content"])
def test_a_refusal_that_trickles_in_is_given_up(path: str) -> None:
    """Also of a stream and of a download, which have no deadline of their own."""
    now, item = 0.0, {"item_id": str(UUID(int=1)), "size": 5, "sha256": "0" * 64}

    def trickle() -> Iterator[bytes]:
        nonlocal now
        for _ in range(10_000):
            now += 1
            yield b" "

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith(path):
            return httpx2.Response(404, content=trickle())
        return httpx2.Response(200, json=item)

    retries = Retries(attempts=2)
    client = Client(
        "http://api.test", retries=retries, transport=httpx2.MockTransport(answer), clock=lambda: now, sleep=sleep
    )
    with client, pytest.raises(ApiAway, match="in time"):
        _ = next(client.events(UUID(int=1))) if path == "events" else client.files.read(UUID(int=1))
    assert now < 200


@pytest.mark.parametrize(
    "url", ["", "api.test", "ftp://api.test", "http://", "http:///x", "https://[::1", "http://a:b"]
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_address_that_is_none_is_refused_at_once(url: str, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="address of"):
        kind(url)


@pytest.mark.parametrize("key", ["", "ty_se\ncret", "ty_se cret", "ty_s\u00e9cret", "ty_se\x00cret"])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="characters") as refused:
        Client("http://api.test", key)
    assert "ty_" not in str(refused.value)


def test_a_key_may_have_the_newline_of_its_file() -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(202, content=TASK)

    with Client("http://api.test", "ty_secret\n", transport=httpx2.MockTransport(answer)) as client:
        client.submit("a.b")
    assert seen == ["Bearer ty_secret"]
