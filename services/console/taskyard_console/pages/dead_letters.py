"""Dead letters: what failed for good and waits for somebody to decide; or what was discarded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlencode

import falcon
import falcon.asgi

from taskyard_client.errors import Invalid
from taskyard_client.models import Task
from taskyard_client.pages import Page as Rows

from ..filters import asked_of_dead_letters, faults_of, for_api
from ..kept import row_of
from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..suggestions import Suggestions
from ..views import plain_query
from ..visits import Visit
from .downloads import MOST_ROWS


@dataclass(frozen=True)
class DeadLetters(Page):
    rendering: Rendering
    suggestions: Suggestions

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        asked = asked_of_dead_letters(req)
        letters, faults = visit.api.dead_letters, list[tuple[str, str]]()
        page: Rows[Task] = Rows(items=[], next_cursor=None)
        suggested, groups = await self.suggestions.of(visit), None
        try:
            found = for_api(asked, visit)
            page, groups = await asyncio.gather(
                letters.page(cursor=req.get_param("cursor") or None, limit=asked["limit"], **found),
                _none() if asked["discarded"] else part(letters.groups(**found)),
            )
        except (Invalid, falcon.HTTPBadRequest) as e:
            faults = faults_of(e)
        plain = plain_query(asked)
        self.rendering.show(
            resp,
            visit,
            "dead_letters.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if faults else falcon.HTTP_OK,
            rows=[row_of(task) for task in page.items],
            next_cursor=page.next_cursor,
            faults=faults,
            groups=groups,
            suggested=suggested,
            asked=asked,
            plain=plain,
            query=urlencode(plain),
            most_rows=MOST_ROWS,
        )


async def _none() -> None:
    """In the place of a call that is not made."""
