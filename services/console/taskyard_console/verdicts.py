"""The platform's health in one word, as the header shows it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextvars import Context

from taskyard_client import AsyncClient
from taskyard_client.errors import ClientError

_ASKED_AGAIN_SECONDS = 5.0
# The header of a page that nobody has opened for longer says that health is not known, until it is asked again.
_HOLDS_SECONDS = 30.0
_MOST_KNOWN = 1024


class Verdicts:
    """One a key: a key for some queues is told of their workers alone. No page waits for it: each shows the last that
    is known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, str]] = {}
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    def last(self, api: AsyncClient, key: str) -> str:
        """healthy, degraded or unhealthy; empty where it is not known. `api`: as `key` reaches it, which has the scope
        `read`."""
        name = hashlib.sha256(key.encode()).digest()
        told_at, status = self._known.get(name, (float("-inf"), ""))
        age = self._clock() - told_at
        if age > _ASKED_AGAIN_SECONDS and name not in self._asking:
            # In a context of its own: the page that asks does not wait for it.
            self._asking[name] = asyncio.create_task(self._ask(name, api), context=Context())
        return status if age <= _HOLDS_SECONDS else ""

    async def _ask(self, name: bytes, api: AsyncClient) -> None:
        status = ""
        try:
            status = (await api.health()).status
        except ClientError:
            pass
        finally:
            del self._asking[name]
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[name] = (self._clock(), status)
