"""`client.workers` and `client.task_types`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import calls
from . import management_calls as management
from .management_models import Worker
from .over_time import AsyncWorkersOverTime, WorkersOverTime
from .pages import Page, each, each_async
from .type_models import TaskType

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Workers(WorkersOverTime):
    def items(self, **filters: Any) -> Iterator[Worker]:
        """All that the key may see, newest first, with those that stopped within the last hour; by the filters of
        `GET /workers`: queue, alive."""
        return each(self._api, partial(management.workers, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Worker]:
        """One page of them; `limit` says how many."""
        return self._api.send(management.workers(filters, cursor))

    def get(self, worker_id: UUID | str) -> Worker:
        return self._api.send(management.worker(worker_id))

    def drain(self, worker_id: UUID | str) -> Worker:
        """It takes no more work, finishes what it has, and stops."""
        return self._api.send(management.control_worker(worker_id, "drain"))

    def restart(self, worker_id: UUID | str) -> Worker:
        """Its processes are replaced one after the other, each once its tasks have ended."""
        return self._api.send(management.control_worker(worker_id, "restart"))

    def pool(self, worker_id: UUID | str, processes: int | str) -> Worker:
        """Sets how many processes it has: a number, or `2:8` for as many as have work."""
        return self._api.send(management.control_worker(worker_id, "pool", {"processes": processes}))


class TaskTypes:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self) -> list[TaskType]:
        """All of them, by name."""
        return self._api.send(management.task_types()).items

    def get(self, name: str) -> TaskType:
        return self._api.send(calls.task_type(name))


class AsyncWorkers(AsyncWorkersOverTime):
    def items(self, **filters: Any) -> AsyncIterator[Worker]:
        """As `Workers.items`."""
        return each_async(self._api, partial(management.workers, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Worker]:
        """As `Workers.page`."""
        return await self._api.send(management.workers(filters, cursor))

    async def get(self, worker_id: UUID | str) -> Worker:
        return await self._api.send(management.worker(worker_id))

    async def drain(self, worker_id: UUID | str) -> Worker:
        """As `Workers.drain`."""
        return await self._api.send(management.control_worker(worker_id, "drain"))

    async def restart(self, worker_id: UUID | str) -> Worker:
        """As `Workers.restart`."""
        return await self._api.send(management.control_worker(worker_id, "restart"))

    async def pool(self, worker_id: UUID | str, processes: int | str) -> Worker:
        """As `Workers.pool`."""
        return await self._api.send(management.control_worker(worker_id, "pool", {"processes": processes}))


class AsyncTaskTypes:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def items(self) -> list[TaskType]:
        """As `TaskTypes.items`."""
        return (await self._api.send(management.task_types())).items

    async def get(self, name: str) -> TaskType:
        return await self._api.send(calls.task_type(name))
