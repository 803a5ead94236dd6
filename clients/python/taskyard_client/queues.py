"""`client.queues`: see, pause, resume, limit and purge queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calls
from .models import Purge, Queue

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Queues:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self) -> list[Queue]:
        """All that the key may see, by name."""
        return self._api.send(calls.queues()).items

    def get(self, name: str) -> Queue:
        return self._api.send(calls.queue(name))

    def pause(self, name: str) -> Queue:
        """None of its tasks begins until `resume`; what runs goes on."""
        return self._api.send(calls.switch_queue(name, "pause"))

    def resume(self, name: str) -> Queue:
        return self._api.send(calls.switch_queue(name, "resume"))

    def limit(self, name: str, **limits: float | None) -> Queue:
        """Sets `concurrent` or `per_second` for all workers together; None removes one."""
        return self._api.send(calls.limit_queue(name, limits))

    def purge(self, name: str, *, dry_run: bool = False) -> Purge:
        """Cancels what waits, up to 10,000 tasks a call: `left` says how many still wait."""
        return self._api.send(calls.purge_queue(name, dry_run=dry_run))


class AsyncQueues:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def items(self) -> list[Queue]:
        """All that the key may see, by name."""
        return (await self._api.send(calls.queues())).items

    async def get(self, name: str) -> Queue:
        return await self._api.send(calls.queue(name))

    async def pause(self, name: str) -> Queue:
        """As `Queues.pause`."""
        return await self._api.send(calls.switch_queue(name, "pause"))

    async def resume(self, name: str) -> Queue:
        return await self._api.send(calls.switch_queue(name, "resume"))

    async def limit(self, name: str, **limits: float | None) -> Queue:
        """As `Queues.limit`."""
        return await self._api.send(calls.limit_queue(name, limits))

    async def purge(self, name: str, *, dry_run: bool = False) -> Purge:
        """As `Queues.purge`."""
        return await self._api.send(calls.purge_queue(name, dry_run=dry_run))
