"""Calls of the API, measured: for the metrics, and for the page that makes them."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any, Protocol

import httpx2

from taskyard_client import AsyncClient
from taskyard_client.address import options_of
from taskyard_client.async_connection import AsyncConnection
from taskyard_client.namespaces import AsyncNamespaces
from taskyard_client.retries import Retries

OUTCOMES = ("answered", "refused", "failed", "away")


class Told(Protocol):
    def __call__(self, outcome: str, seconds: float, /) -> None:
        """`outcome` is one of OUTCOMES; `seconds`: to the head of the answer."""


class PageCalls:
    """How long at least one call was under way: calls at the same time count once."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._open = 0
        self._since = 0.0

    def begin(self, now: float) -> None:
        self.count += 1
        if not self._open:
            self._since = now
        self._open += 1

    def end(self, now: float) -> None:
        self._open -= 1
        if not self._open:
            self.seconds += now - self._since


# Of the request that is being answered. Tasks that it starts inherit it.
calls_of_page: ContextVar[PageCalls | None] = ContextVar("calls_of_page", default=None)


class MeasuredHttp(httpx2.AsyncClient):
    def __init__(self, tell: Told, **options: Any) -> None:
        super().__init__(**options)
        self._tell = tell

    async def send(self, request: httpx2.Request, **more: Any) -> httpx2.Response:
        calls, outcome, started = calls_of_page.get(), "away", time.perf_counter()
        if calls is not None:
            calls.begin(started)
        try:
            response = await super().send(request, **more)
            outcome = _outcome(response.status_code)
            return response
        finally:
            ended = time.perf_counter()
            self._tell(outcome, ended - started)
            if calls is not None:
                calls.end(ended)


class MeasuredClient(AsyncClient):
    """The client of all readers: `with_key` gives each reader's over the same connections."""

    def __init__(
        self, url: str, tell: Told, *, retries: Retries, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._http = MeasuredHttp(tell, **options_of(url, None), transport=transport)
        connection = AsyncConnection({}, retries, time.monotonic, asyncio.sleep, shared=self._http)
        AsyncNamespaces.__init__(self, connection)

    async def close(self) -> None:
        await self._http.aclose()


def _outcome(status: int) -> str:
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 else "answered"
