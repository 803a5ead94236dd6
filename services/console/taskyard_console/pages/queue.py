"""One queue: what waits in it and why, and what can be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import falcon
import falcon.asgi

from taskyard_client import Invalid, Purge, Queue
from taskyard_client.over_time_models import QueueHistory

from .. import attention, fleet_over_time, over_time
from ..formats import Formats, number_from, number_text
from ..page import Page
from ..parts import Part, part
from ..rendering import Rendering
from ..visits import Visit

MOST_WORKERS = 200
_LIMITS = ("concurrent", "per_second")


@dataclass(frozen=True)
class OneQueue(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        await self.show(req, resp, name)

    async def show(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        name: str,
        *,
        typed: Mapping[str, str] | None = None,
        faults: Mapping[str, str] | None = None,
    ) -> None:
        """`typed`: limits that were refused, each with what is wrong in `faults`."""
        visit: Visit = req.context.visit
        api, window, now = visit.api, over_time.window_of(req.get_param("window")), datetime.now(UTC)
        queue, waiting, history, workers = await asyncio.gather(
            api.queues.get(name),
            part(api.queues.waiting(name)),
            part(api.queues.history(name, window)),
            part(api.workers.page(limit=MOST_WORKERS, queue=name, alive=True)),
        )
        self.rendering.show(
            resp,
            visit,
            "queue.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if faults else falcon.HTTP_OK,
            queue=queue,
            path=path_of(name),
            now=now,
            is_behind=attention.is_behind(queue, now),
            work=_work(queue),
            waiting=waiting,
            history=history,
            charts=_charts(history, visit),
            window=window,
            live_pause=over_time.LIVE_PAUSES[window],
            workers=workers,
            limits=typed or {limit: _text(getattr(queue, limit), visit) for limit in _LIMITS},
            faults=faults or {},
        )


def path_of(name: str) -> str:
    return f"/queues/{quote(name, safe='')}"


def _work(queue: Queue) -> timedelta | None:
    """How long what waits takes, at the rate of the last minutes."""
    rate = queue.rate.finished_per_minute
    return timedelta(minutes=queue.depth.get("queued", 0) / rate) if rate else None


def _charts(history: Part[QueueHistory], visit: Visit) -> list[over_time.Chart]:
    return [] if history.value is None else fleet_over_time.of_queue(history.value, visit)


def _text(limit: float | None, visit: Visit) -> str:
    return "" if limit is None else number_text(limit, visit.language)


class PauseQueue(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        await visit.api.queues.pause(name)
        visit.say(resp, "done", visit.words.gettext("The queue is paused; what runs goes on."))
        visit.go(resp, path_of(name))


class ResumeQueue(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        await visit.api.queues.resume(name)
        visit.say(resp, "done", visit.words.gettext("The queue's tasks begin again."))
        visit.go(resp, path_of(name))


@dataclass(frozen=True)
class LimitQueue(Page):
    """Sets or removes the limits; what is wrong stands beside its field."""

    page: OneQueue

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        typed = {limit: visit.form.text(limit).strip() for limit in _LIMITS}
        formats, faults = Formats(visit.language), dict[str, str]()
        limits: dict[str, float | None] = {}
        for limit, text in typed.items():
            try:
                limits[limit] = _number(text, visit)
            except ValueError:
                said = visit.words.gettext("This is not a number. Write it like %(large)s or %(small)s.")
                faults[limit] = said % {"large": formats.number(1500), "small": formats.number(2.5)}
        if not faults:
            try:
                await visit.api.queues.limit(name, **limits)
            except Invalid as e:
                faults = {pointer.strip("/"): said for pointer, said in e.errors}
        if faults:
            await self.page.show(req, resp, name, typed=typed, faults=faults)
            return
        visit.say(resp, "done", visit.words.gettext("The limits hold from the next task on."))
        visit.go(resp, path_of(name))


def _number(text: str, visit: Visit) -> float | None:
    """None for an empty field. Raises ValueError."""
    if not text:
        return None
    number = number_from(text, visit.language)
    return int(number) if number.is_integer() else number


@dataclass(frozen=True)
class PurgeQueue(Page):
    """First a preview of what would be cancelled; then, with the queue's name typed, what waits by then of all that was
    submitted before the preview."""

    rendering: Rendering

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        form, queues = visit.form, visit.api.queues
        if form.text("confirmed") == "yes" and form.text("typed").strip() == name:
            done = await queues.purge(name, created_before=_until(form.text("until"), visit))
            visit.say(resp, "done", _purged(done, visit))
            visit.go(resp, path_of(name))
            return
        self.rendering.show(
            resp,
            visit,
            "purge.html",
            name=name,
            path=path_of(name),
            found=await queues.purge(name, dry_run=True),
            is_mistyped=form.text("confirmed") == "yes",
        )


def _until(text: str, visit: Visit) -> datetime:
    """When the preview was made. Raises HTTPBadRequest."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at
    raise falcon.HTTPBadRequest(description=visit.words.gettext("This is not the time of a preview."))


def _purged(done: Purge, visit: Visit) -> str:
    words = visit.words
    said = words.ngettext("%(count)s task cancelled.", "%(count)s tasks cancelled.", done.changed)
    left = words.ngettext("%(left)s still waits; purge again.", "%(left)s still wait; purge again.", done.left)
    return " ".join([said % {"count": done.changed}, *([left % {"left": done.left}] if done.left else [])])
