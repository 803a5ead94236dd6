"""What is done to the tasks that were ticked: first a preview, once that is confirmed the change, then a way back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import falcon
import falcon.asgi

from taskyard_client.change_models import Handled

from ..access import MANAGE
from ..addresses import local
from ..page import Page
from ..rendering import Rendering
from ..visits import Visit

ACTIONS = ("cancel", "retry", "discard", "restore")
# What takes an action back, of the same tasks.
UNDOES = {"cancel": "retry", "retry": "cancel", "discard": "restore", "restore": "discard"}


@dataclass(frozen=True)
class Selection(Page):
    changing = MANAGE

    rendering: Rendering

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        form, _ = visit.form, visit.words.gettext
        action, back = form.text("action"), local(form.text("next"))
        ids = _ids(form.all("id"))
        if action not in ACTIONS or not ids:
            visit.say(resp, "failed", _("Tick the tasks first."))
            visit.go(resp, back)
            return
        is_confirmed = form.text("confirmed") == "yes"
        # A reload of the answer sends the form again; its key keeps that from being done twice.
        once = _once(form.text("once")) if is_confirmed else uuid4().hex
        handled = await handle(visit, action, ids, dry_run=not is_confirmed, once=once)
        self.rendering.show(
            resp,
            visit,
            "selection_done.html" if is_confirmed else "selection.html",
            action=action,
            undo=UNDOES[action],
            ids=ids,
            handled=handled,
            back=back,
            once=once,
        )


async def handle(visit: Visit, action: str, ids: list[UUID], *, dry_run: bool, once: str = "") -> Handled:
    letters = visit.api.dead_letters
    key = once if once and not dry_run else None
    match action:
        case "cancel":
            return await visit.api.cancel_many(ids, dry_run=dry_run)
        case "retry":
            # Of a list of both. No task is both, and one that another reader moves meanwhile is left alone.
            dead = await letters.retry(ids, dry_run=dry_run, idempotency_key=key)
            ended = await letters.retry(
                ids, cancelled=True, dry_run=dry_run, idempotency_key=key and f"{key}-cancelled"
            )
            return _both(dead, ended)
        case "discard":
            return await letters.discard(ids, dry_run=dry_run, idempotency_key=key)
    return await letters.restore(ids, dry_run=dry_run, idempotency_key=key)


def _both(one: Handled, other: Handled) -> Handled:
    return Handled(
        matched=one.matched + other.matched,
        changed=one.changed + other.changed,
        changed_ids=[*one.changed_ids, *other.changed_ids],
        sample=[*one.sample, *other.sample],
    )


def _once(given: str) -> str:
    try:
        return UUID(given).hex
    except ValueError:
        return uuid4().hex


def _ids(given: list[str]) -> list[UUID]:
    try:
        return [UUID(one) for one in given]
    except ValueError:
        raise falcon.HTTPBadRequest(description="This is not the id of a task.") from None
