"""The timeline of a workflow."""

from __future__ import annotations

from functools import partial

import falcon.asgi

from taskyard.store import workflows as store

from .. import flow_models, flow_views, views
from ..auth import Scope
from ..ledger_pool import LedgerPool
from ..operations import EVENT_STREAM, Answer, Operation
from ..parameters import query_of
from ..refusals import Fault, Invalid
from ..requests import Request
from ..streams import Streams
from .events import NOT_AN_EVENT, stream, wants_stream
from .workflows import visible_workflow, workflow_id_of

_BEGINNING = -1
_OF_WORKFLOW = (
    "`event` is the kind, `data` a `FlowEvent` as JSON, `id` its id. `progress`, whose `data` has how many steps have "
    "ended, has no id and is not sent again."
)


def _after(text: str | None, where: str) -> int:
    if not text:
        return _BEGINNING
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid([Fault(where, NOT_AN_EVENT)])
    return int(text)


class WorkflowEvents:
    def __init__(self, ledger: LedgerPool, streams: Streams) -> None:
        self._ledger = ledger
        self._streams = streams

    @Operation(
        summary="A workflow's timeline; live as text/event-stream",
        description="Which step ended when, and how. Live, it begins behind Last-Event-ID and closes after the end.",
        scope=Scope.READ,
        query=flow_models.FlowEventsQuery,
        headers={"Last-Event-ID": "Live only: the id of the last event that was received."},
        answers={
            200: Answer(
                description="The events.", model=flow_models.FlowTimeline, also=EVENT_STREAM, events=_OF_WORKFLOW
            ),
            204: Answer(description="Live only: nothing comes behind this Last-Event-ID, the final event's."),
        },
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        query, caller = query_of(flow_models.FlowEventsQuery, req), req.context.caller
        row = await visible_workflow(self._ledger, workflow_id_of(workflow_id), caller)
        after, limit = _after(query.cursor, "?cursor"), query.limit
        if wants_stream(req):
            if (last := req.get_header("Last-Event-ID")) is not None:
                after = _after(last, "Last-Event-ID")
            page = partial(store.timeline, workflow_id=row["id"], after=max(after, 0), limit=1)
            if after > 0 and row["finished_at"] is not None and not await self._ledger.run(page):
                resp.status = 204
                return
            authorization = req.header(b"authorization")
            stream(req, resp, self._streams.of_workflow(row["id"], after, caller, authorization))
            return
        first = [flow_views.submitted(row)] if after == _BEGINNING else []
        page = partial(store.timeline, workflow_id=row["id"], after=max(after, 0), limit=limit + 1)
        items = [*first, *map(flow_views.event, await self._ledger.run(page))]
        more = items[limit - 1]["id"] if len(items) > limit else None
        views.send(resp, 200, {"items": items[:limit], "next_cursor": more})
