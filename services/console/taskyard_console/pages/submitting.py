"""A task, submitted from a form that its type's schema makes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import falcon
import falcon.asgi

from taskyard_client import TaskType
from taskyard_client.errors import Conflict, Invalid

from .. import masked, schemas, submission
from ..access import SUBMIT
from ..forms import Form
from ..page import Page
from ..rendering import Rendering
from ..submission import Submission
from ..visits import Visit
from .task_ids import task_id_of


@dataclass(frozen=True)
class Submit(Page):
    """With `from` in the address, the form begins with the parameters and options of that task."""

    scope = SUBMIT
    changing = SUBMIT

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        if (given := req.get_param("from")) is None:
            self._show(resp, visit, await visit.api.task_type(name), Submission())
            return
        wanted = task_id_of(given)
        one, task = await asyncio.gather(visit.api.task_type(name), visit.api.task(wanted))
        if task.name != one.name:
            raise falcon.HTTPNotFound
        begins = Submission(typed=submission.options_of(task, one))
        self._show(resp, visit, one, begins, source=str(task.id), values=task.params)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        one, form = await visit.api.task_type(name), visit.form
        typed = submission.read(one.params, form, visit.zone)
        if typed.faults or form.text("do") == "look":
            self._show(resp, visit, one, typed, form, is_looked_at=not typed.faults)
            return
        try:
            task = await visit.api.submit(
                one.name, typed.params, idempotency_key=_key(form.text("seed"), one, typed), **typed.options
            )
        except (Invalid, Conflict) as e:
            known = schemas.names_of(schemas.drawn(one.params, typed=form))
            faults, rest = submission.placed(e.errors, known)
            said = str(e.args[0]) if rest or not faults else ""
            self._show(resp, visit, one, replace(typed, faults=faults), form, said=said, code=e.code, rest=rest)
            return
        visit.say(resp, "done", visit.words.gettext("The task was submitted."))
        visit.go(resp, f"/tasks/{task.id}")

    def _show(
        self,
        resp: falcon.asgi.Response,
        visit: Visit,
        one: TaskType,
        typed: Submission,
        form: Form | None = None,
        *,
        source: str = "",
        values: Mapping[str, Any] | None = None,
        is_looked_at: bool = False,
        said: str = "",
        code: str = "",
        rest: list[tuple[str, str]] | None = None,
    ) -> None:
        """`source`: the task whose parameters the form begins with, `values`."""
        faults = {name: _said(fault, visit) for name, fault in typed.faults.items()}
        masks = list(masked.places(values)) if form is None else form.all("masked")
        fields = schemas.drawn(one.params, values, faults, form)
        if form is None:
            known = schemas.names_of(fields)
            notes = {submission.nearest(place, known) or "": _said(submission.MISSING, visit) for place in masks}
            fields = schemas.drawn(one.params, values, notes)
        self.rendering.show(
            resp,
            visit,
            "submit.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if faults or said else falcon.HTTP_OK,
            one=one,
            fields=fields,
            typed=typed.typed,
            faults=faults,
            masks=masks,
            source=source if form is None else form.text("from"),
            is_open=any(typed.typed.values()) or any(name in faults for name in submission.FIELDS),
            queues=sorted({name for version in one.versions for worker in version.workers for name in worker.queues}),
            said=said,
            code=code,
            rest=rest or [],
            seed=str(uuid4()),
            body=submission.body_of(one.name, typed, one.params) if is_looked_at else None,
            program=submission.code_of(one.name, typed, one.params) if is_looked_at else None,
        )


def _said(fault: str, visit: Visit) -> str:
    """Our own faults in words; the API's are words already."""
    _ = visit.words.gettext
    return {
        schemas.NOT_JSON: _("This is not JSON."),
        schemas.NOT_AN_OBJECT: _("This is not a JSON object."),
        submission.NOT_A_TIME: _("This is not a time."),
        submission.MISSING: _("A secret was here, which nobody is shown: type it again."),
    }.get(fault, fault)


def _key(seed: str, one: TaskType, typed: Submission) -> str:
    """The same form, sent twice, is one task; changed and sent again, it is another."""
    sent = submission.body_of(one.name, typed)
    return hashlib.sha256(f"{seed}\n{sent}".encode()).hexdigest()
