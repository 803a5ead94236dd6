"""Changes of all tasks that fit: a preview, the task that makes the change, and its page."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import falcon
import falcon.asgi

from taskyard_client.change_models import Handled
from taskyard_client.errors import Invalid
from taskyard_client.models import Task

from ..access import MANAGE
from ..addresses import local
from ..filters import (
    CANCELLED,
    CONDITIONS,
    LIVE,
    TIMES,
    TIMES_OF_DISCARDING,
    asked_of_dead_letters,
    asked_of_tasks,
    conditions_of,
)
from ..formats import number_from
from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..undoing import CHANGE_TASKS, Undo, undo_of
from ..visits import Visit
from .task_ids import task_id_of

# Beyond it, what cannot be taken back has to be typed.
_TYPED_FROM = 100
_LONGEST_NUMBER = 12
_LISTS = {"cancel": "/tasks", "retry": "/dead-letters", "discard": "/dead-letters", "restore": "/dead-letters"}


@dataclass(frozen=True)
class Operations(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        page = await visit.api.tasks_page(cursor=req.get_param("cursor") or None, name=CHANGE_TASKS)
        self.rendering.show(resp, visit, "operations.html", page=page)


@dataclass(frozen=True)
class NewOperation(Page):
    """The preview reads its filters from the address, as the lists write them; the form sends what the preview said."""

    scope = MANAGE
    changing = MANAGE

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        action = _action(req.get_param("action"))
        asked = {**asked_of_tasks(req), **asked_of_dead_letters(req)}
        asked |= {name: req.get_param(name) or "" for name in (*TIMES_OF_DISCARDING, "operation_id")}
        asked["state"] = asked_of_tasks(req)["state"]
        conditions, unknown = conditions_of(action, asked, visit)
        undoes, back = req.get_param("undoes") or "", req.get_param("next") or _LISTS[action]
        await self._show(resp, visit, action, conditions, unknown, undoes=undoes, back=back)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        form, _ = visit.form, visit.words.gettext
        action, conditions, as_of = _action(form.text("action")), _sent(visit), _time(form.text("as_of"))
        rate, per_second = form.text("per_second").strip(), None
        fault = ""
        if action == "cancel":
            handled = await visit.api.operations.preview(action, as_of=as_of, **conditions)
            fault = "" if _is_typed(handled, form.text("typed")) else _("Type the number of tasks to confirm.")
        try:
            per_second = _rate(rate, visit)
        except ValueError:
            fault = _("This is not a number above zero.")
        if not fault:
            try:
                task = await visit.api.operations.start(
                    action, per_second=per_second, as_of=as_of, idempotency_key=_key(form.text("once")), **conditions
                )
            except Invalid as e:
                fault = e.errors[0][1] if e.errors else str(e.args[0])
            else:
                visit.go(resp, f"/operations/{task.id}")
                return
        # Newly looked at: what it says is what is pinned down.
        undoes, back = form.text("undoes"), form.text("next")
        await self._show(resp, visit, action, conditions, [], undoes=undoes, back=back, rate=rate, fault=fault)

    async def _show(
        self,
        resp: falcon.asgi.Response,
        visit: Visit,
        action: str,
        conditions: dict[str, Any],
        unknown: list[str],
        *,
        undoes: str,
        back: str,
        rate: str = "",
        fault: str = "",
    ) -> None:
        nothing = conditions.get("state") == []
        handled = None
        if not unknown and not nothing:
            handled = await visit.api.operations.preview(action, **conditions)
        self.rendering.show(
            resp,
            visit,
            "operation_new.html",
            status=422 if fault else 200,
            action=action,
            conditions=_shown(conditions),
            unknown=unknown,
            handled=handled,
            typed=str(handled.matched) if handled and action == "cancel" and _has_to_be_typed(handled) else "",
            undoes=undoes,
            back=local(back),
            rate=rate,
            fault=fault,
            once=uuid4().hex,
            command=json.dumps({"action": action, "filter": _shown(conditions)}, ensure_ascii=False),
        )


def _has_to_be_typed(handled: Handled) -> bool:
    return handled.matched + (handled.descendants or 0) >= _TYPED_FROM


def _is_typed(handled: Handled, text: str) -> bool:
    """Some may have ended since the preview; more than were typed are not cancelled."""
    typed = text.strip()
    is_number = typed.isascii() and typed.isdecimal() and len(typed) < _LONGEST_NUMBER
    return not _has_to_be_typed(handled) or (is_number and int(typed) >= handled.matched)


@dataclass(frozen=True)
class OneOperation(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = task_id_of(task_id)
        task, explanation = await asyncio.gather(visit.api.task(wanted), part(visit.api.explain(wanted)))
        if task.name != CHANGE_TASKS:
            raise falcon.HTTPNotFound
        undo = undo_of(task)
        self.rendering.show(
            resp,
            visit,
            "operation.html",
            task=task,
            action=str(task.params.get("action", "")),
            conditions=_shown(task.params.get("filter") or {}),
            explanation=explanation,
            counts=_counts(task),
            undo=undo,
            undo_query=_undo_query(undo, task),
        )


def _undo_query(undo: Undo | None, task: Task) -> dict[str, Any]:
    if undo is None:
        return {}
    back = f"/operations/{task.id}"
    return {"action": undo.action, "undoes": str(task.id), "next": back, **undo.conditions}


def _counts(task: Task) -> dict[str, Any]:
    """`changed`, `skipped` once it is done; before, how far it is."""
    return dict(task.result) if isinstance(task.result, dict) else {}


def _shown(conditions: dict[str, Any]) -> dict[str, Any]:
    """As text, which the form sends back and the address may hold."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in conditions.items()
        if value is not None
    }


def _sent(visit: Visit) -> dict[str, Any]:
    """The conditions of the form. Raises HTTPBadRequest for what no preview wrote."""
    known = CONDITIONS[_action(visit.form.text("action"))]
    found: dict[str, Any] = {name: visit.form.text(name) for name in known if visit.form.text(name)}
    if "state" in found:
        found["state"] = [state for state in visit.form.all("state") if state in (*LIVE, CANCELLED)]
    return found | {name: _time(found[name]) for name in (*TIMES, *TIMES_OF_DISCARDING) if name in found}


def _action(given: str | None) -> str:
    if given not in CONDITIONS:
        raise falcon.HTTPBadRequest(description="There is no such action.")
    return given


def _rate(text: str, visit: Visit) -> float | None:
    """None for an empty field. Raises ValueError."""
    found = number_from(text, visit.language) if text else None
    if found is not None and found <= 0:
        raise ValueError(text)
    return found


def _time(text: str) -> datetime | None:
    """When the preview was made. Raises HTTPBadRequest."""
    if not text:
        return None
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at
    raise falcon.HTTPBadRequest(description="This is not a time.")


def _key(given: str) -> str:
    return given if given.isalnum() and given.isascii() and len(given) == 32 else uuid4().hex
