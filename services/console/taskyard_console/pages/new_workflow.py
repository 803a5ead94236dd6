"""Submitting a workflow that is written as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import falcon
import falcon.asgi

from taskyard_client.errors import Invalid

from ..access import READ, SUBMIT
from ..json_text import json_of, json_text
from ..page import Page
from ..rendering import Rendering
from ..visits import Visit

EXAMPLE = """{
  "name": "monthly report",
  "steps": {
    "count": {"name": "diagnostics.echo", "params": {"value": 42}},
    "report": {"name": "diagnostics.echo", "params": {"value": {"$result": "count.value"}}, "needs": ["count"]}
  }
}"""
# How much of the place of a fault is shown.
_LONGEST = 80


@dataclass(frozen=True)
class SubmitWorkflow(Page):
    scope = SUBMIT
    changing = SUBMIT

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._show(resp, req.context.visit, EXAMPLE)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        text, _ = visit.form.text("workflow"), visit.words.gettext
        try:
            wanted = json_of(text)
        except ValueError as e:
            place = {"line": getattr(e, "lineno", 1), "column": getattr(e, "colno", 1)}
            said = _("This is not JSON from line %(line)s, column %(column)s on.") % place
            self._show(resp, visit, text, said=said)
            return
        try:
            made = await visit.api.workflows.submit(wanted, idempotency_key=_key(visit.form.text("seed"), text))
        except Invalid as e:
            faults = [(pointer, _excerpt(wanted, pointer), said) for pointer, said in e.errors]
            self._show(resp, visit, text, said=str(e.args[0]), faults=faults)
            return
        if visit.may(READ):
            visit.say(resp, "done", _("The workflow was submitted."))
            visit.go(resp, f"/workflows/{made.id}")
        else:
            visit.say(resp, "done", _("The workflow was submitted: %(id)s") % {"id": made.id})
            visit.go(resp, "/workflows/new")

    def _show(
        self,
        resp: falcon.asgi.Response,
        visit: Visit,
        text: str,
        *,
        said: str = "",
        faults: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        status = falcon.HTTP_UNPROCESSABLE_ENTITY if said else falcon.HTTP_OK
        self.rendering.show(
            resp, visit, "new_workflow.html", status=status, text=text, said=said, faults=faults, seed=uuid4()
        )


def _key(seed: str, text: str) -> str:
    """The same form, sent twice, is one workflow; changed and sent again, it is another."""
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def _excerpt(value: Any, pointer: str) -> str:
    """What stands at the place of a fault; "" where there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return ""
    found = json_text(value)
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"
