"""Workflows: a list by state and name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon.asgi

from ..page import Page
from ..rendering import Rendering
from ..visits import Visit

STATES = ("running", "succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Workflows(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        asked: dict[str, Any] = {
            "state": [state for state in req.get_param_as_list("state", default=[]) if state in STATES],
            "name": (req.get_param("name") or "").strip(),
        }
        filters = {name: value for name, value in asked.items() if value}
        page = await visit.api.workflows.page(cursor=req.get_param("cursor") or None, **filters)
        self.rendering.show(resp, visit, "workflows.html", page=page, asked=asked, states=STATES, now=datetime.now(UTC))
