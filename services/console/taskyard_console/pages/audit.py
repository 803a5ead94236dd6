"""The audit log: who changed what, when, from where, and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import falcon.asgi

from .. import audit_words
from ..access import ADMIN
from ..page import Page
from ..plain_filters import asked_of, for_the_api
from ..rendering import Rendering
from ..visits import Visit

_TEXTS, _TIMES = ("action", "actor", "target"), ("after", "before")


@dataclass(frozen=True)
class Audit(Page):
    scope = ADMIN

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        asked = asked_of(req, (*_TEXTS, *_TIMES))
        page = await visit.api.audit.page(
            cursor=req.get_param("cursor") or None, **for_the_api(asked, visit, times=_TIMES)
        )
        titles = audit_words.titles(visit)
        rows: list[dict[str, Any]] = [
            {
                "entry": entry,
                "title": titles.get(entry.action, entry.action),
                "name": audit_words.name_of(entry),
                "path": audit_words.path_of(entry.target),
            }
            for entry in page.items
        ]
        self.rendering.show(resp, visit, "audit.html", page=page, rows=rows, asked=asked, titles=titles)
