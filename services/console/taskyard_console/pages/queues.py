"""Queues: what waits in each, and whether it moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import falcon.asgi

from ..page import Page
from ..rendering import Rendering
from ..visits import Visit


@dataclass(frozen=True)
class Queues(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        queues = await visit.api.queues.items()
        counted = max((queue.counted_at for queue in queues if queue.counted_at), default=None)
        self.rendering.show(resp, visit, "queues.html", queues=queues, counted_at=counted, now=datetime.now(UTC))
