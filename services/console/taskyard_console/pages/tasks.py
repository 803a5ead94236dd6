"""Tasks: a list by filters that stand in the address, with the columns and the saved views that the reader chose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

import falcon
import falcon.asgi

from taskyard_client.errors import Invalid
from taskyard_client.models import Task
from taskyard_client.pages import Page as Rows

from ..access import READ
from ..addresses import local
from ..columns import COLUMNS, STANDARD, shown
from ..filters import STATES, TEXTS, TIMES, asked_of_tasks, faults_of, for_api, states_shown
from ..kept import row_of
from ..page import Page
from ..rendering import Rendering
from ..suggestions import Suggestions
from ..views import MOST_CHARACTERS, TooMany, View, plain_query, standing, with_view, without
from ..visits import Visit
from .downloads import MOST_ROWS

# What a view may hold; the rest of an address is not the list's.
_OF_A_VIEW = frozenset({*TEXTS, *TIMES, "state", "within", "column", "limit"})

_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)


@dataclass(frozen=True)
class Tasks(Page):
    rendering: Rendering
    suggestions: Suggestions

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        asked = asked_of_tasks(req)
        cursor, faults = req.get_param("cursor") or None, list[tuple[str, str]]()
        page: Rows[Task] = Rows(items=[], next_cursor=None)
        suggested = await self.suggestions.of(visit)
        try:
            page = await visit.api.tasks_page(cursor=cursor, limit=asked["limit"], **for_api(asked, visit))
        except (Invalid, falcon.HTTPBadRequest) as e:
            faults = faults_of(e)
        plain, chosen = plain_query(asked), asked["column"] or STANDARD
        self.rendering.show(
            resp,
            visit,
            "tasks.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if faults else falcon.HTTP_OK,
            rows=[row_of(task, chosen) for task in page.items],
            now=datetime.now(UTC),
            next_cursor=page.next_cursor,
            faults=faults,
            suggested=suggested,
            asked=asked,
            plain=plain,
            query=urlencode(plain, doseq=True),
            states=STATES,
            live_states=states_shown(asked),
            chosen=chosen,
            columns=shown(chosen, visit.words),
            titles={name: visit.words.gettext(title) for name, title in COLUMNS.items()},
            standing=standing(visit.words.gettext),
            saved=visit.cookies.views(req.cookies),
            longest_title=MOST_CHARACTERS,
            most_rows=MOST_ROWS,
        )


class FindTask(Page):
    """To the task whose id was typed, or stands in what was pasted."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        found = _ID.search(req.get_param("id") or "")
        if found is not None:
            visit.go(resp, f"/tasks/{found[0].lower()}")
            return
        visit.say(resp, "failed", visit.words.gettext("This is not the id of a task; ids have 36 characters."))
        visit.go(resp, "/tasks")


class Views(Page):
    """Saves a view, or deletes one. It is the reader's own, in the browser: reading is enough."""

    changing = READ

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        form, _ = visit.form, visit.words.gettext
        title, saved = form.text("title").strip()[:MOST_CHARACTERS], visit.cookies.views(req.cookies)
        visit.go(resp, local(form.text("next")))
        if not title:
            visit.say(resp, "failed", _("Give the view a name."))
        elif form.text("action") == "delete":
            visit.cookies.write_views(resp, without(saved, title))
            visit.say(resp, "done", _("The view is deleted."))
        else:
            try:
                visit.cookies.write_views(resp, with_view(saved, View(title, _query(form.text("query")))))
                visit.say(resp, "done", _("The view is saved in this browser."))
            except TooMany:
                visit.say(resp, "failed", _("This browser keeps no more views. Delete one first."))


def _query(text: str) -> str:
    given = parse_qs(text, max_num_fields=100)
    return urlencode({name: values for name, values in given.items() if name in _OF_A_VIEW}, doseq=True)
