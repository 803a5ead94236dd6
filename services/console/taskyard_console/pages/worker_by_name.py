"""From a task to its worker, of which it knows the name."""

from __future__ import annotations

import falcon.asgi

from ..page import Page
from ..visits import Visit


class WorkerByName(Page):
    """Leads to the newest of this name: a worker that starts again keeps it."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        async for worker in visit.api.workers.items():
            if worker.name == name:
                visit.go(resp, f"/workers/{worker.id}")
                return
        visit.say(resp, "failed", visit.words.gettext("The worker %(name)s is not listed any more.") % {"name": name})
        visit.go(resp, "/workers")
