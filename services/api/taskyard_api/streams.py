"""Server-sent events: the timeline of one task or workflow, and the changes of all tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from uuid import UUID

from falcon.asgi import SSEvent

from taskyard.backoff import spread
from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.store import workflows
from taskyard.store.timeline import EventId, Timeline, timeline

from . import flow_views, views
from .auth import Caller, Keys, Scope
from .followers import Watch
from .ledger_pool import LedgerPool
from .live import Live
from .meters import RequestMeters
from .refusals import Unauthenticated
from .translation import TypeName, Words

HEARTBEAT_SECONDS = 15.0
# A task that reports often is read once in this time for each client.
_PAUSE_SECONDS = 0.1
# Between two tries while PostgreSQL is away.
_AWAY_SECONDS = 1.5
_PAGE = 200
# Changes that are sent between two checks of the key.
_CHANGES_PER_CHECK = 100
# How long the first byte of the stream of all tasks waits for the subscription where Redis is away.
_SUBSCRIBE_SECONDS = 1.0


class Streams:
    def __init__(
        self,
        ledger: LedgerPool,
        live: Live,
        meters: RequestMeters,
        keys: Keys,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._live = live
        self._meters = meters
        self._heartbeat = heartbeat_seconds

    async def of_task(
        self,
        task_id: UUID,
        of: TypeName,
        after: EventId,
        caller: Caller,
        authorization: bytes | None,
        words: Words,
    ) -> AsyncIterator[SSEvent]:
        """The timeline of a task of the type `of` after `after`, and what is added to it, until the final event; or
        until the key is no longer valid or the task no longer exists.

        Progress is sent as events without an id: the ledger keeps the latest only.
        """
        sent: object = None
        with self._live.watch(task_id) as watch, self._meters.sse_clients.track_inprogress():
            yield SSEvent(retry=1000, comment="taskyard")
            while not watch.closed and await self._is_still_valid(authorization):
                try:
                    read = partial(timeline, task_id=task_id, after=after, limit=_PAGE, queues=caller.queues)
                    page = await self._ledger.run(read)
                except (LedgerUnavailable, Overloaded):
                    yield SSEvent(comment="waiting for the database")
                    await asyncio.sleep(spread(_AWAY_SECONDS))
                    continue
                if page is None:
                    return  # a failover or a restore lost the task: the next request gets a 404
                for event in page.events:
                    shown = views.event(event, words, of, with_traceback=caller.has(Scope.MANAGE))
                    yield SSEvent(data=views.encode(shown), event=event.kind.replace("\n", " "), event_id=shown["id"])
                    after = event.id
                if page.progress is not None and page.progress != sent and not page.is_final:
                    sent = page.progress
                    yield SSEvent(data=views.encode(_progress(page)), event="progress")
                if not page.complete:
                    continue
                if page.is_final:
                    return
                while not await self._changed(watch):
                    if not await self._is_still_valid(authorization):
                        return
                    yield SSEvent(comment="heartbeat")

    async def of_workflow(
        self, workflow_id: UUID, after: int, caller: Caller, authorization: bytes | None
    ) -> AsyncIterator[SSEvent]:
        """The timeline of a workflow behind the event `after`, and what is added to it, until its end; or until the key
        is no longer valid or the workflow no longer exists. Progress is sent as events without an id."""
        sent: object = None
        with self._live.watch(workflow_id) as watch, self._meters.sse_clients.track_inprogress():
            yield SSEvent(retry=1000, comment="taskyard")
            while not watch.closed and await self._is_still_valid(authorization):
                try:
                    # Its row first: where that is final, all events are found.
                    row = await self._ledger.run(
                        partial(workflows.by_id, workflow_id=workflow_id, queues=caller.queues)
                    )
                    read = partial(workflows.timeline, workflow_id=workflow_id, after=max(after, 0), limit=_PAGE)
                    found = await self._ledger.run(read)
                except (LedgerUnavailable, Overloaded):
                    yield SSEvent(comment="waiting for the database")
                    await asyncio.sleep(spread(_AWAY_SECONDS))
                    continue
                if row is None:
                    return
                shown = [*([flow_views.submitted(row)] if after < 0 else []), *map(flow_views.event, found)]
                for event in shown:
                    yield SSEvent(data=views.encode(event), event=event["kind"], event_id=event["id"])
                    after = int(event["id"])
                if len(found) == _PAGE:
                    continue
                if row["finished_at"] is not None:
                    return
                if (progress := flow_views.summary(row)["progress"]) != sent:
                    sent = progress
                    yield SSEvent(data=views.encode({"kind": "progress", "data": progress}), event="progress")
                while not await self._changed(watch):
                    if not await self._is_still_valid(authorization):
                        return
                    yield SSEvent(comment="heartbeat")

    async def _is_still_valid(self, authorization: bytes | None) -> bool:
        """Whether the key may still read. `Keys` caches what it found for some seconds, so this is cheap."""
        try:
            return (await self._keys.authenticate(authorization)).has(Scope.READ)
        except Unauthenticated:
            return False
        except (LedgerUnavailable, Overloaded):
            return True

    async def _changed(self, watch: Watch) -> bool:
        changed = await watch.changed(self._heartbeat)
        if changed and not watch.is_final:
            await asyncio.sleep(_PAUSE_SECONDS)
        return changed or watch.closed

    async def of_all(
        self, wanted: Callable[[dict[str, Any]], bool], authorization: bytes | None
    ) -> AsyncIterator[SSEvent]:
        """Changes as they happen, until the key is no longer valid. There is no replay. After the first comment no
        change is missed unless Redis is away, and that is told."""
        with self._live.feed(wanted) as feed, self._meters.sse_clients.track_inprogress():
            await self._live.subscribed(_SUBSCRIBE_SECONDS)
            yield SSEvent(retry=1000, comment="taskyard")
            while not feed.closed and await self._is_still_valid(authorization):
                if (missed := feed.missed()) is not None:
                    yield SSEvent(data=views.encode(missed), event="lost")
                for _ in range(min(len(feed.changes), _CHANGES_PER_CHECK)):
                    change = feed.changes.popleft()
                    yield SSEvent(data=views.encode(change), event="change")
                if not feed.changes and not feed.closed:
                    await feed.changed(self._heartbeat)
                    if not feed.changes and not feed.closed and await self._is_still_valid(authorization):
                        yield SSEvent(comment="heartbeat")


def _progress(page: Timeline) -> dict[str, object]:
    assert page.progress is not None
    current, total, message, at = page.progress
    return {
        "kind": "progress",
        "at": at,
        "data": {"percent": views.percent(current, total), "current": current, "total": total, "message": message},
    }
