"""`client.queues`: see, pause, resume, limit and purge queues, and their depths over time."""

from __future__ import annotations

from datetime import datetime

from . import calls, management_calls
from .change_models import Purge
from .management_models import WaitingTypes
from .models import Load, Queue
from .over_time import AsyncQueuesOverTime, QueuesOverTime


class Queues(QueuesOverTime):
    def items(self) -> list[Queue]:
        """All that the key may see, by name."""
        return self._api.send(calls.queues()).items

    def get(self, name: str) -> Queue:
        return self._api.send(calls.queue(name))

    def load(self, name: str) -> Load:
        """What waits and runs in it, for an autoscaler."""
        return self._api.send(management_calls.queue_load(name))

    def waiting(self, name: str) -> WaitingTypes:
        """Which task types wait in it, of the oldest 10,000 tasks."""
        return self._api.send(management_calls.waiting_types(name))

    def pause(self, name: str) -> Queue:
        """None of its tasks begins until `resume`; what runs goes on."""
        return self._api.send(calls.switch_queue(name, "pause"))

    def resume(self, name: str) -> Queue:
        return self._api.send(calls.switch_queue(name, "resume"))

    def limit(self, name: str, **limits: float | None) -> Queue:
        """Sets `concurrent` or `per_second` for all workers together; None removes one."""
        return self._api.send(calls.limit_queue(name, limits))

    def purge(self, name: str, *, dry_run: bool = False, created_before: datetime | None = None) -> Purge:
        """Cancels what waits, up to 10,000 tasks a call: `left` says how many still wait."""
        return self._api.send(calls.purge_queue(name, dry_run=dry_run, created_before=created_before))


class AsyncQueues(AsyncQueuesOverTime):
    async def items(self) -> list[Queue]:
        """All that the key may see, by name."""
        return (await self._api.send(calls.queues())).items

    async def get(self, name: str) -> Queue:
        return await self._api.send(calls.queue(name))

    async def load(self, name: str) -> Load:
        """As `Queues.load`."""
        return await self._api.send(management_calls.queue_load(name))

    async def waiting(self, name: str) -> WaitingTypes:
        """As `Queues.waiting`."""
        return await self._api.send(management_calls.waiting_types(name))

    async def pause(self, name: str) -> Queue:
        """As `Queues.pause`."""
        return await self._api.send(calls.switch_queue(name, "pause"))

    async def resume(self, name: str) -> Queue:
        return await self._api.send(calls.switch_queue(name, "resume"))

    async def limit(self, name: str, **limits: float | None) -> Queue:
        """As `Queues.limit`."""
        return await self._api.send(calls.limit_queue(name, limits))

    async def purge(self, name: str, *, dry_run: bool = False, created_before: datetime | None = None) -> Purge:
        """As `Queues.purge`."""
        return await self._api.send(calls.purge_queue(name, dry_run=dry_run, created_before=created_before))
