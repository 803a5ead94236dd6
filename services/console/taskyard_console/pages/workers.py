"""Workers: those that live, and those that went within the hour; one of them; and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import falcon
import falcon.asgi

from taskyard_client import Crash, Invalid, Worker
from taskyard_client import Page as ListPage

from .. import fleet_over_time, over_time
from ..page import Page
from ..parts import Part, part
from ..plain_filters import asked_of, for_the_api
from ..rendering import Rendering
from ..visits import Visit

# What the API gives in one page.
_MOST = 200
_CRASHES = 5
# Longer ones are no number of processes; the API says so.
_DIGITS = 10
_GONE = frozenset({"lost", "stopped"})
_UNTOLD = dict.fromkeys(("index", "state", "pid", "memory_bytes", "runs"))
_TEXTS, _TIMES = ("worker", "name", "queue"), ("after", "before")


@dataclass(frozen=True)
class Workers(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        living, gone, crashes = await asyncio.gather(
            visit.api.workers.page(limit=_MOST, alive=True, cursor=req.get_param("cursor") or None),
            part(visit.api.workers.page(limit=_MOST, alive=False)),
            part(visit.api.crashes.page(limit=_CRASHES)),
        )
        self.rendering.show(
            resp,
            visit,
            "workers.html",
            living=living,
            gone=gone,
            crashes=crashes,
            now=datetime.now(UTC),
        )


@dataclass(frozen=True)
class OneWorker(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        await self.show(req, resp, worker_id)

    async def show(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        worker_id: str,
        *,
        processes: str | None = None,
        fault: str = "",
    ) -> None:
        """`processes`: what was typed and refused, for `fault`."""
        visit: Visit = req.context.visit
        wanted, window = worker_id_of(worker_id), over_time.window_of(req.get_param("window"))
        worker, history = await asyncio.gather(
            visit.api.workers.get(wanted), part(visit.api.workers.history(wanted, window))
        )
        crashes: Part[ListPage[Crash]] = await part(visit.api.crashes.page(worker=worker.name, limit=_CRASHES))
        self.rendering.show(
            resp,
            visit,
            "worker.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if fault else falcon.HTTP_OK,
            worker=worker,
            is_gone=worker.state in _GONE,
            children=_children(worker),
            history=history,
            charts=[] if history.value is None else fleet_over_time.of_worker(history.value, visit),
            window=window,
            crashes=crashes,
            processes=processes if processes is not None else worker.processes_asked or str(worker.processes_most),
            fault=fault,
            now=datetime.now(UTC),
        )


def _children(worker: Worker) -> list[Mapping[str, Any]]:
    """Each process with those of its tasks that still run. Of a process that has just begun, or of a worker of another
    release, the API may not tell everything."""
    tasks = {str(task.id): task for task in worker.tasks}
    return [
        {**_UNTOLD, **child, "tasks": [tasks[one] for one in child.get("running", ()) if one in tasks]}
        for child in sorted(worker.children, key=lambda child: child.get("index") or 0)
    ]


def worker_id_of(text: str) -> UUID:
    """Raises HTTPNotFound for what is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise falcon.HTTPNotFound from None


@dataclass(frozen=True)
class DrainWorker(Page):
    """First what it would mean; then it is asked."""

    rendering: Rendering

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = worker_id_of(worker_id)
        if visit.form.text("confirmed") != "yes":
            self.rendering.show(resp, visit, "drain.html", worker=await visit.api.workers.get(wanted))
            return
        await visit.api.workers.drain(wanted)
        visit.say(resp, "done", visit.words.gettext("The worker was asked to drain."))
        visit.go(resp, f"/workers/{wanted}")


class RestartWorker(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = worker_id_of(worker_id)
        await visit.api.workers.restart(wanted)
        visit.say(resp, "done", visit.words.gettext("The worker was asked to replace its processes."))
        visit.go(resp, f"/workers/{wanted}")


@dataclass(frozen=True)
class ResizeWorker(Page):
    page: OneWorker

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, typed = worker_id_of(worker_id), visit.form.text("processes").strip()
        try:
            await visit.api.workers.pool(wanted, int(typed) if typed.isdecimal() and len(typed) < _DIGITS else typed)
        except Invalid as e:
            await self.page.show(req, resp, worker_id, processes=typed, fault=" ".join(said for _, said in e.errors))
            return
        said = visit.words.gettext("The worker was asked for %(processes)s processes.")
        visit.say(resp, "done", said % {"processes": typed})
        visit.go(resp, f"/workers/{wanted}")


@dataclass(frozen=True)
class Crashes(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        asked = asked_of(req, (*_TEXTS, *_TIMES))
        page = await visit.api.crashes.page(
            cursor=req.get_param("cursor") or None, **for_the_api(asked, visit, times=_TIMES)
        )
        self.rendering.show(resp, visit, "crashes.html", page=page, asked=asked)
