"""`client.schedules`: see, make, change, pause, trigger and delete schedules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import management_calls as calls
from .management_models import Fire, Schedule
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Schedules:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, **filters: Any) -> Iterator[Schedule]:
        """All that the key may see, newest first, by the filters of `GET /schedules`: name, task_name, enabled,
        troubled."""
        return each(self._api, partial(calls.schedules, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Schedule]:
        """One page of them; `limit` says how many."""
        return self._api.send(calls.schedules(filters, cursor))

    def get(self, schedule_id: UUID | str) -> Schedule:
        return self._api.send(calls.schedule(schedule_id))

    def create(
        self,
        name: str,
        task: Mapping[str, Any],
        trigger: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Schedule:
        """`task`: name, params and options of a submit; `trigger`: cron and timezone, every_seconds, or at. `options`
        are those of `POST /schedules`: misfire, overlap, catch_up_seconds, start_at, end_at, jitter_seconds, enabled.
        """
        fields = {"name": name, "task": task, "trigger": trigger, **options}
        return self._api.send(calls.make_schedule(fields, idempotency_key))

    def change(self, schedule_id: UUID | str, **changes: Any) -> Schedule:
        """What is not given stays as it is."""
        return self._api.send(calls.change_schedule(schedule_id, changes))

    def delete(self, schedule_id: UUID | str) -> None:
        self._api.send(calls.delete_schedule(schedule_id))

    def pause(self, schedule_id: UUID | str) -> Schedule:
        """Nothing of it is due until `resume`."""
        return self._api.send(calls.switch_schedule(schedule_id, "pause"))

    def resume(self, schedule_id: UUID | str) -> Schedule:
        """From the next due time on."""
        return self._api.send(calls.switch_schedule(schedule_id, "resume"))

    def trigger(self, schedule_id: UUID | str, *, idempotency_key: str | None = None) -> Fire:
        """Submits its task now. Raises Conflict where the last one has not ended and tasks may not overlap."""
        return self._api.send(calls.trigger_schedule(schedule_id, idempotency_key))

    def fires(self, schedule_id: UUID | str) -> Iterator[Fire]:
        """What became of each due time, the latest first."""
        return each(self._api, partial(calls.fires, schedule_id, {}))

    def fires_page(self, schedule_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[Fire]:
        return self._api.send(calls.fires(schedule_id, {"limit": limit}, cursor))

    def preview(self, trigger: Mapping[str, Any], **options: Any) -> list[datetime]:
        """The next due times of a trigger; nothing is saved. `options` are those of `POST /schedules/preview`."""
        return self._api.send(calls.preview({"trigger": trigger, **options})).next_fires


class AsyncSchedules:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, **filters: Any) -> AsyncIterator[Schedule]:
        """As `Schedules.items`."""
        return each_async(self._api, partial(calls.schedules, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Schedule]:
        """As `Schedules.page`."""
        return await self._api.send(calls.schedules(filters, cursor))

    async def get(self, schedule_id: UUID | str) -> Schedule:
        return await self._api.send(calls.schedule(schedule_id))

    async def create(
        self,
        name: str,
        task: Mapping[str, Any],
        trigger: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Schedule:
        """As `Schedules.create`."""
        fields = {"name": name, "task": task, "trigger": trigger, **options}
        return await self._api.send(calls.make_schedule(fields, idempotency_key))

    async def change(self, schedule_id: UUID | str, **changes: Any) -> Schedule:
        """As `Schedules.change`."""
        return await self._api.send(calls.change_schedule(schedule_id, changes))

    async def delete(self, schedule_id: UUID | str) -> None:
        await self._api.send(calls.delete_schedule(schedule_id))

    async def pause(self, schedule_id: UUID | str) -> Schedule:
        """As `Schedules.pause`."""
        return await self._api.send(calls.switch_schedule(schedule_id, "pause"))

    async def resume(self, schedule_id: UUID | str) -> Schedule:
        """As `Schedules.resume`."""
        return await self._api.send(calls.switch_schedule(schedule_id, "resume"))

    async def trigger(self, schedule_id: UUID | str, *, idempotency_key: str | None = None) -> Fire:
        """As `Schedules.trigger`."""
        return await self._api.send(calls.trigger_schedule(schedule_id, idempotency_key))

    def fires(self, schedule_id: UUID | str) -> AsyncIterator[Fire]:
        """As `Schedules.fires`."""
        return each_async(self._api, partial(calls.fires, schedule_id, {}))

    async def fires_page(
        self, schedule_id: UUID | str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Fire]:
        return await self._api.send(calls.fires(schedule_id, {"limit": limit}, cursor))

    async def preview(self, trigger: Mapping[str, Any], **options: Any) -> list[datetime]:
        """As `Schedules.preview`."""
        return (await self._api.send(calls.preview({"trigger": trigger, **options}))).next_fires
