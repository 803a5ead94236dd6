"""The console's server: what a connection may cost before anybody signs in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
import uvicorn

from taskyard_console import server

HEAD = b"GET / HTTP/1.1\r\nHost: console.test\r\n"


async def answers(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(3.3 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, seconds: float, *, later: float | None = None) -> Iterator[int]:
    """A request has so many seconds; `later`: those that begin once one has arrived."""
    monkeypatch.setattr(server, "REQUEST_SECONDS", seconds)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if later is not None and scope["type"] == "http":
            monkeypatch.setattr(server, "REQUEST_SECONDS", later)
        await answers(scope, receive, send)

    listener = server.listen("127.0.0.1", 0)
    config = server.config(application)
    config.lifespan = "off"
    running = uvicorn.Server(config)
    thread = Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join()


def sent(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the server closes the connection, within twenty seconds."""

    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(20):
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

    return asyncio.run(talk())


def test_a_connection_whose_request_does_not_arrive_is_closed_whichever_request_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(monkeypatch, 0.2) as port:
        assert sent(port) == b""
        assert sent(port, HEAD) == b""
    form = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    for second in (HEAD, form):
        with serving(monkeypatch, 60, later=0.2) as port:
            assert sent(port, HEAD + b"\r\n", second, pause=0.05).count(b"200 OK") == 1


def test_a_head_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, 60) as port:
        assert b" 400 " in sent(port, HEAD + b"X: " + b"x" * (server.MAX_HEAD_BYTES + 1024))


def test_a_slow_answer_and_a_form_in_pieces_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    form = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
    with serving(monkeypatch, 3) as port:
        assert b"200 OK" in sent(port, form % b"/slow", b"12345", b"67890", pause=0.05)
        # The first request's time is over when the third begins.
        pieces = HEAD + b"\r\n", HEAD + b"\r\n", form % b"/" + b"1234567890"
        assert sent(port, *pieces, pause=1.6).count(b"200 OK") == 3
