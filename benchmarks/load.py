"""A load generator for one HTTP request, over keep-alive connections: as little client as possible."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import uvloop


class _Connection(asyncio.Protocol):
    """Sends a request, counts the answer, sends the next: one in flight a connection."""

    def __init__(self, requests: Sequence[bytes], left: list[int], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._left = left
        self._done = done
        self._buffer = b""
        self._wanted = -1
        self.statuses: dict[bytes, int] = {}
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def _next(self) -> None:
        if self._left[0] <= 0:
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._transport.write(self._requests[self._left[0] % len(self._requests)])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._wanted < 0:
            head, separator, _ = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            lowered = head.lower()
            start = lowered.index(b"content-length:") + 15
            self._wanted = len(head) + 4 + int(lowered[start:].split(b"\r\n", 1)[0])
            status = head[9:12]
            self.statuses[status] = self.statuses.get(status, 0) + 1
        if len(self._buffer) < self._wanted:
            return
        self._buffer, self._wanted = b"", -1
        self.answered += 1
        self._next()


def post(path: str, key: str, body: bytes) -> bytes:
    """The bytes of a POST request."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def run(port: int, requests: Sequence[bytes], count: int, *, connections: int = 32) -> float:
    """Sends `count` requests, taking turns among `requests`; returns requests a second.

    Raises RuntimeError where any answer was not a 202.
    """
    return uvloop.run(_run(port, requests, count, connections))


async def _run(port: int, requests: Sequence[bytes], count: int, connections: int) -> float:
    loop = asyncio.get_running_loop()
    left = [count]
    made: list[_Connection] = []
    ends: list[asyncio.Future[None]] = []
    started = time.perf_counter()
    for _ in range(min(connections, count)):
        end: asyncio.Future[None] = loop.create_future()
        connection = _Connection(requests, left, end)
        await loop.create_connection(lambda c=connection: c, "127.0.0.1", port)  # type: ignore[misc]
        made.append(connection)
        ends.append(end)
    async with asyncio.timeout(120):
        await asyncio.gather(*ends)
    seconds = time.perf_counter() - started
    bad = {s: n for c in made for s, n in c.statuses.items() if s != b"202"}
    if bad or sum(c.answered for c in made) != count:
        raise RuntimeError(f"answers other than 202: {bad}; {sum(c.answered for c in made)} of {count}")
    return count / seconds
