"""One API, reached from an event loop: calls with their repeats, streams, downloads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from . import calls
from .calls import Call
from .errors import ApiAway, ApiRefused
from .following import Reader
from .retries import Attempts, Clock, Retries
from .tracing import passed_on
from .transfers import Download, Upload

A = TypeVar("A", bound=BaseModel)
E = TypeVar("E")


class AsyncConnection:
    """`options`: what httpx2's client takes. `shared`: one that somebody else made, and closes."""

    def __init__(
        self,
        options: dict[str, Any],
        retries: Retries,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]],
        *,
        shared: httpx2.AsyncClient | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.retries = retries
        self.clock = clock
        self.sleep = sleep
        self._made = httpx2.AsyncClient(**options) if shared is None else shared
        self._headers = headers or {}
        self._is_shared = shared is not None

    def with_headers(self, headers: Mapping[str, str]) -> AsyncConnection:
        """The same connections for calls with other headers; whoever made them closes them."""
        return AsyncConnection({}, self.retries, self.clock, self.sleep, shared=self._made, headers=headers)

    async def close(self) -> None:
        if not self._is_shared:
            await self._made.aclose()

    async def send(self, call: Call[A]) -> A:
        """One call with its repeats. Raises ApiAway, ApiRefused."""
        attempts = self.attempts(call.seconds, waits=call.waits)
        while True:
            try:
                return await self.attempt(call, attempts.left, number=attempts.failures + 1)
            except (ApiAway, ApiRefused) as e:
                pause = attempts.pause_after(e, is_safe=call.is_safe)
            await self.sleep(pause)

    async def attempt(self, call: Call[A], left: float | None = None, *, number: int = 1) -> A:
        """One call without repeats, which takes `left` seconds at most."""
        left = self.retries.seconds + call.waits if left is None else left
        deadline = self.clock() + left
        content = call.body.chunks_apart() if isinstance(call.body, Upload) else call.body
        more = {"params": call.query, "headers": call.headers, "content": content, "timeout": call.timeout(left)}
        async with self._open(call.method, call.path, **more) as response:
            return calls.read(call, response, await self._content(response, deadline), number)

    async def stream(
        self,
        path: str,
        reader: Reader[E],
        query: Mapping[str, Any] | None = None,
        silence: float = calls.SILENCE_SECONDS,
    ) -> AsyncGenerator[E, None]:
        """What `reader` makes of each line of a stream of events."""
        timeout = httpx2.Timeout(silence, connect=calls.CONNECT_SECONDS)
        async with self._open("GET", path, params=query or {}, headers=reader.headers(), timeout=timeout) as response:
            if not response.is_success:
                raise calls.refused(response, await self._content(response, self.clock() + calls.READ_SECONDS))
            reader.connected()
            async for text in response.aiter_text():
                for event in reader.heard(text):
                    yield event

    async def fetch(self, path: str, download: Download) -> None:
        """What is missing of the download, in one request."""
        timeout = httpx2.Timeout(calls.READ_SECONDS, connect=calls.CONNECT_SECONDS)
        async with self._open("GET", path, headers=download.headers(), timeout=timeout) as response:
            if not response.is_success:
                raise calls.refused(response, await self._content(response, self.clock() + calls.READ_SECONDS))
            download.begin(resumed=response.status_code == 206)
            async for piece in response.aiter_bytes():
                download.write(piece)

    async def _content(self, response: httpx2.Response, deadline: float) -> bytes:
        """Raises ApiAway where it comes too slowly."""
        pieces = []
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            if self.clock() > deadline:
                raise ApiAway("The API did not finish its answer in time.")
        return b"".join(pieces)

    def attempts(self, seconds: float | None = None, *, waits: float = 0.0) -> Attempts:
        """`waits`: seconds beside the usual ones."""
        return Attempts(self.retries, self.clock, (self.retries.seconds if seconds is None else seconds) + waits)

    @asynccontextmanager
    async def _open(self, method: str, path: str, *, headers: Any, **more: Any) -> AsyncIterator[httpx2.Response]:
        sent = {**self._headers, **headers, **passed_on()}
        try:
            async with self._made.stream(method, self._made.base_url.join(path), headers=sent, **more) as response:
                yield response
        except (httpx2.TransportError, httpx2.DecodingError) as e:
            raise calls.lost(self._made.base_url, e) from e
