"""`client.crashes`: attempts that ended with their process or their worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from . import management_calls as calls
from .management_models import Crash
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Crashes:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, **filters: Any) -> Iterator[Crash]:
        """All that the key may see, newest first, by the filters of `GET /crashes`: worker (its name), name, queue,
        after, before."""
        return each(self._api, partial(calls.crashes, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Crash]:
        """One page of them; `limit` says how many."""
        return self._api.send(calls.crashes(filters, cursor))


class AsyncCrashes:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, **filters: Any) -> AsyncIterator[Crash]:
        """As `Crashes.items`."""
        return each_async(self._api, partial(calls.crashes, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Crash]:
        """As `Crashes.page`."""
        return await self._api.send(calls.crashes(filters, cursor))
