"""Statistics over time and failures in groups: `client.statistics()`, `client.errors`, and the histories of queues and
workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from .calls import Call
from .over_time_models import (
    ErrorDetails,
    ErrorGroup,
    ErrorPage,
    GroupState,
    MarkedError,
    QueueHistory,
    Statistics,
    Window,
    WorkerHistory,
)

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


def statistics(window: Window, name: str | None, queue: str | None) -> Call[Statistics]:
    return Call(Statistics, "GET", "statistics", _given(window=window, name=name, queue=queue))


def queue_history(name: str, window: Window) -> Call[QueueHistory]:
    return Call(QueueHistory, "GET", f"queues/{quote(name, safe='')}/history", {"window": window})


def worker_history(worker_id: UUID | str, window: Window) -> Call[WorkerHistory]:
    return Call(WorkerHistory, "GET", f"workers/{UUID(str(worker_id))}/history", {"window": window})


def errors(filters: dict[str, Any], cursor: str | None) -> Call[ErrorPage]:
    return Call(ErrorPage, "GET", "errors", _given(**filters, cursor=cursor))


def error(group_id: UUID | str, window: Window) -> Call[ErrorDetails]:
    return Call(ErrorDetails, "GET", f"errors/{UUID(str(group_id))}", {"window": window})


def mark_error(group_id: UUID | str, verb: str) -> Call[MarkedError]:
    """Repeats change nothing."""
    return Call(MarkedError, "POST", f"errors/{UUID(str(group_id))}/{verb}")


def _given(**query: Any) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


class QueuesOverTime:
    """A part of `client.queues`."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def history(self, name: str, window: Window = "hour") -> QueueHistory:
        """How many tasks were in each state: the last hour, day or 31 days."""
        return self._api.send(queue_history(name, window))


class WorkersOverTime:
    """A part of `client.workers`."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def history(self, worker_id: UUID | str, window: Window = "hour") -> WorkerHistory:
        """Its memory and how much it ran; two days are kept."""
        return self._api.send(worker_history(worker_id, window))


class Errors:
    """`client.errors`: failures in groups."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(
        self,
        *,
        state: GroupState | None = None,
        name: str | None = None,
        code: str | None = None,
        queue: str | None = None,
    ) -> Iterator[ErrorGroup]:
        """Those that were seen last first."""
        cursor: str | None = None
        while True:
            page = self.page(state=state, name=name, code=code, queue=queue, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def page(self, *, cursor: str | None = None, **filters: Any) -> ErrorPage:
        """One page of them; `limit` says how many. With a `window` each has its `counts`."""
        return self._api.send(errors(filters, cursor))

    def get(self, group_id: UUID | str, window: Window = "hour") -> ErrorDetails:
        return self._api.send(error(group_id, window))

    def solve(self, group_id: UUID | str) -> MarkedError:
        """A failure that ends later brings it back."""
        return self._api.send(mark_error(group_id, "solve"))

    def reopen(self, group_id: UUID | str) -> MarkedError:
        return self._api.send(mark_error(group_id, "reopen"))


class AsyncQueuesOverTime:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def history(self, name: str, window: Window = "hour") -> QueueHistory:
        """As `QueuesOverTime.history`."""
        return await self._api.send(queue_history(name, window))


class AsyncWorkersOverTime:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def history(self, worker_id: UUID | str, window: Window = "hour") -> WorkerHistory:
        """As `WorkersOverTime.history`."""
        return await self._api.send(worker_history(worker_id, window))


class AsyncErrors:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def items(
        self,
        *,
        state: GroupState | None = None,
        name: str | None = None,
        code: str | None = None,
        queue: str | None = None,
    ) -> AsyncIterator[ErrorGroup]:
        """As `Errors.items`."""
        cursor: str | None = None
        while True:
            page = await self.page(state=state, name=name, code=code, queue=queue, cursor=cursor)
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def page(self, *, cursor: str | None = None, **filters: Any) -> ErrorPage:
        """As `Errors.page`."""
        return await self._api.send(errors(filters, cursor))

    async def get(self, group_id: UUID | str, window: Window = "hour") -> ErrorDetails:
        return await self._api.send(error(group_id, window))

    async def solve(self, group_id: UUID | str) -> MarkedError:
        """As `Errors.solve`."""
        return await self._api.send(mark_error(group_id, "solve"))

    async def reopen(self, group_id: UUID | str) -> MarkedError:
        return await self._api.send(mark_error(group_id, "reopen"))
