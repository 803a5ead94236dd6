"""Failures in groups: where they come from, since when, whether they are solved, and their dead letters."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import falcon
import falcon.asgi

from taskyard_client.over_time_models import ErrorGroup

from .. import over_time
from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..report import shown_to
from ..visits import Visit
from .task import EVENTS, in_order

STATES = ("open", "returned", "solved")
FILTERS = ("state", "name", "code", "queue")
_ROWS = 50


@dataclass(frozen=True)
class Errors(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        window = over_time.window_of(req.get_param("window") or "day")
        asked = {name: (req.get_param(name) or "").strip() for name in FILTERS}
        wanted: dict[str, Any] = {name: value for name, value in asked.items() if value}
        if asked["state"] not in STATES:
            wanted.pop("state", None)
        page = await visit.api.errors.page(cursor=req.get_param("cursor") or None, limit=_ROWS, window=window, **wanted)
        self.rendering.show(
            resp,
            visit,
            "errors.html",
            page=page,
            asked={**asked, "window": window},
            window=window,
            live_pause=over_time.LIVE_PAUSES[window],
            sparks={one.id: over_time.spark(one.counts or [], visit, "bad") for one in page.items},
            sums={one.id: sum(one.counts or []) for one in page.items},
            now=datetime.now(UTC),
        )


@dataclass(frozen=True)
class OneError(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, group_id: str) -> None:
        visit: Visit = req.context.visit
        window = over_time.window_of(req.get_param("window") or "day")
        group = await visit.api.errors.get(_id(group_id), window)
        letters = {"name": group.name, "queue": group.queue, "code": group.code}
        timeline, waiting = await asyncio.gather(
            part(visit.api.timeline(group.last_task_id, order="newest", limit=EVENTS, log=False)),
            part(visit.api.dead_letters.page(limit=1, **letters)),
        )
        points = [(point.at, point.failures) for point in group.points]
        title = visit.words.gettext("Failed attempts")
        self.rendering.show(
            resp,
            visit,
            "error_group.html",
            group=group,
            window=window,
            live_pause=over_time.LIVE_PAUSES[window],
            charts=[over_time.failures(title, points, group, visit)],
            traceback=_traceback(shown_to(visit.reader, in_order(timeline)), group),
            letters=letters,
            has_letters=waiting.value is not None and bool(waiting.value.items),
            now=datetime.now(UTC),
        )


def _traceback(events: Any, group: ErrorGroup) -> str:
    """Of the newest attempt that failed so; its task may have failed in another way before."""
    found = [event.data for event in events if event.data.get("traceback")]
    so = [data for data in found if (data.get("error") or {}).get("code") == group.code]
    return str((so or found or [{"traceback": ""}])[-1]["traceback"])


class SolveError(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, group_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = _id(group_id)
        await visit.api.errors.solve(wanted)
        visit.say(resp, "done", visit.words.gettext("Marked as solved; a failure that ends later brings it back."))
        visit.go(resp, f"/errors/{wanted}")


class ReopenError(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, group_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = _id(group_id)
        await visit.api.errors.reopen(wanted)
        visit.say(resp, "done", visit.words.gettext("The error is open again."))
        visit.go(resp, f"/errors/{wanted}")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise falcon.HTTPNotFound from None
