"""Schedules: what runs when, when next, and whether the last run went well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon.asgi

from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..visits import Visit

TEXTS = ("name", "task_name", "enabled")
_ENABLED = frozenset({"true", "false"})
_TROUBLED = 20


@dataclass(frozen=True)
class Schedules(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        asked = {name: (req.get_param(name) or "").strip() for name in TEXTS}
        page, troubled = await asyncio.gather(
            visit.api.schedules.page(cursor=req.get_param("cursor") or None, **_filters(asked)),
            part(visit.api.schedules.page(enabled=True, troubled=True, limit=_TROUBLED)),
        )
        self.rendering.show(
            resp,
            visit,
            "schedules.html",
            page=page,
            asked=asked,
            troubled=troubled,
            now=datetime.now(UTC),
        )


def _filters(asked: dict[str, str]) -> dict[str, Any]:
    found = {name: value for name, value in asked.items() if value}
    if found.get("enabled") not in _ENABLED:
        found.pop("enabled", None)
    return found
