"""A load generator for HTTP requests, over keep-alive connections: as little client as possible."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

KEY = "ty_benchmrk_" + "b" * 43
CONNECTIONS = 32


class _Connection(asyncio.Protocol):
    """Sends a request, counts the answer, sends the next one: one in flight a connection."""

    def __init__(self, requests: Iterator[bytes], statuses: Counter[bytes]) -> None:
        self._requests = requests
        self._statuses = statuses
        self._buffer = b""
        self._wanted = -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def _next(self) -> None:
        if (request := next(self._requests, None)) is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._wanted < 0:
            head, separator, _ = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            lowered = head.lower()
            start = lowered.index(b"content-length:") + 15
            self._wanted = len(head) + 4 + int(lowered[start:].split(b"\r\n", 1)[0])
            self._statuses[head[9:12]] += 1
        if len(self._buffer) < self._wanted:
            return
        self._buffer, self._wanted = b"", -1
        self._next()


def post(path: str, content: object) -> bytes:
    body = json.dumps(content)
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _echo(value: object) -> dict[str, object]:
    return {"name": "diagnostics.echo", "params": {"value": value}}


TASKS = "/api/v1/tasks"
# Of different lengths, as callers' are, in no order of their lengths.
VALUES = ["v" * (1 + 37 * n % 128) for n in range(128)]
# Requests that are sent in turn.
SINGLE = [post(TASKS, _echo(value)) for value in VALUES]
HUNDRED = [post("/api/v1/tasks/batch", {"tasks": [_echo(1)] * 100})]


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


async def run(port: int, requests: Sequence[bytes], status: bytes = b"202") -> float:
    """Sends the requests; returns requests a second.

    Raises RuntimeError where any answer had another status.
    """
    loop = asyncio.get_running_loop()
    statuses: Counter[bytes] = Counter()
    count = len(requests)
    made = partial(_Connection, iter(requests), statuses)
    started = time.perf_counter()
    connections = [(await loop.create_connection(made, "127.0.0.1", port))[1] for _ in range(min(CONNECTIONS, count))]
    async with asyncio.timeout(120):
        await asyncio.gather(*(connection.done for connection in connections))
    seconds = time.perf_counter() - started
    if statuses != {status: count}:
        raise RuntimeError(f"answers to {count} requests: {dict(statuses)}")
    return count / seconds
