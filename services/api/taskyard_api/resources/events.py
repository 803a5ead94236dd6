"""Timelines, and live changes of all tasks."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.store.timeline import BEGINNING, EventId, Only, newest, timeline

from .. import answers, views
from ..auth import Scope
from ..ledger_pool import LedgerPool
from ..live import Live
from ..models import EventsQuery, TimelineQuery
from ..operations import EVENT_STREAM, Answer, Operation
from ..parameters import query_of
from ..patience import go_on_for_long
from ..refusals import Fault, Invalid
from ..requests import Request
from ..streams import Streams
from ..translation import LANGUAGE, Translations
from .tasks import task_id_of, visible_task

NOT_AN_EVENT = message("This is not the id of an event.")
_OF_TASK = (
    "`event` is the kind, `data` a `TaskEvent` as JSON, `id` its id. What has no id is not sent again: the latest "
    "`progress`, whose `data` has no `id` either."
)
_OF_ALL = (
    "`event: change`: `data` is an object of JSON with `task_id`, `name`, `queue`, `state`, `attempt` and "
    "`workflow_id`. `event: lost`: `data` has `lost`, the number of changes that were "
    "left out because the reader was too slow; null: Redis was away, and what happened meanwhile was not sent."
)


def _event_id(text: str, where: str) -> EventId:
    try:
        return EventId.parse(text)
    except ValueError:
        raise Invalid([Fault(where, NOT_AN_EVENT)]) from None


def stream(req: Request, resp: falcon.asgi.Response, events: Any) -> None:
    go_on_for_long()
    resp.content_type = EVENT_STREAM
    # Proxies must not buffer events.
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("X-Accel-Buffering", "no")
    if req.method == "HEAD":
        resp.stream = events  # not read, and of no length that could be told
    else:
        resp.sse = events


class TaskEvents:
    def __init__(self, ledger: LedgerPool, streams: Streams, translations: Translations) -> None:
        self._ledger = ledger
        self._streams = streams
        self._translations = translations

    @Operation(
        summary="A task's timeline; live as text/event-stream",
        description="Live, it begins behind Last-Event-ID and closes after the final event. Stack traces are shown "
        "to keys with the scope `manage`. `order`, `log`, `attempt` and `limit` are those of a page; live, all events "
        "come.",
        scope=Scope.READ,
        query=TimelineQuery,
        headers={"Last-Event-ID": "Live only: the id of the last event that was received."},
        answers={
            200: Answer(
                description="The events.",
                model=answers.TaskTimeline,
                also=EVENT_STREAM,
                events=_OF_TASK,
                headers=LANGUAGE,
            ),
            204: Answer(description="Live only: nothing comes behind this Last-Event-ID, the final event's."),
        },
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        query = query_of(TimelineQuery, req)
        caller = req.context.caller
        row = await visible_task(self._ledger, task_id_of(task_id), caller)
        cursor = None if query.cursor is None else _event_id(query.cursor, "?cursor")
        words, of = self._translations.for_reader(req), views.type_of(row)
        if wants_stream(req):
            last, after = req.get_header("Last-Event-ID"), cursor or BEGINNING
            after = after if not last else _event_id(last, "Last-Event-ID")
            if after != BEGINNING and await self._is_over(row["id"], after):
                resp.status = 204
                return
            words.expect(of)  # the head is sent before the events
            words.tell(resp)
            stream(req, resp, self._streams.of_task(row["id"], of, after, caller, req.header(b"authorization"), words))
            return
        read = (
            partial(newest, before=cursor) if query.order == "newest" else partial(timeline, after=cursor or BEGINNING)
        )
        only = Only(query.log, query.attempt)
        page = partial(read, task_id=row["id"], limit=query.limit, queues=caller.queues, only=only)
        found = await self._ledger.run(page)
        if found is None:
            raise NotFound(message("There is no such task."))
        items = [views.event(e, words, of, with_traceback=caller.has(Scope.MANAGE)) for e in found.events]
        more = items[-1]["id"] if items and not found.complete else None
        views.send(resp, 200, {"items": items, "next_cursor": more}, words)

    async def _is_over(self, task_id: UUID, after: EventId) -> bool:
        """Whether a client of EventSource, which reconnects until it is answered with 204, has seen the final event."""
        page = await self._ledger.run(lambda conn: timeline(conn, task_id, after=after, limit=1))
        return page is not None and page.is_final and page.complete and not page.events


def wants_stream(req: Request) -> bool:
    return req.client_prefers(("application/json", EVENT_STREAM)) == EVENT_STREAM


class Events:
    def __init__(self, live: Live, streams: Streams) -> None:
        self._live = live
        self._streams = streams

    @Operation(
        summary="All tasks' changes, live",
        description="There is no replay: who was away reads the tasks.",
        scope=Scope.READ,
        query=EventsQuery,
        answers={200: Answer(description="Changes of state, as they happen.", media_type=EVENT_STREAM, events=_OF_ALL)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query = query_of(EventsQuery, req)
        queues = req.context.caller.queues
        states = frozenset(query.state or ())
        workflow_id = None if query.workflow_id is None else str(query.workflow_id)

        def wanted(change: dict[str, Any]) -> bool:
            return (
                (queues is None or change["queue"] in queues)
                and (not states or change["state"] in states)
                and (query.name is None or change["name"] == query.name)
                and (query.queue is None or change["queue"] == query.queue)
                and (workflow_id is None or change["workflow_id"] == workflow_id)
            )

        stream(req, resp, self._streams.of_all(wanted, req.header(b"authorization")))
