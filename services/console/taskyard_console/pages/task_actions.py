"""What can be done to one task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import falcon.asgi

from taskyard_client.change_models import Handled
from taskyard_client.errors import Conflict, Invalid
from taskyard_client.models import Task

from ..addresses import local
from ..formats import moment_from
from ..page import Page
from ..rendering import Rendering
from ..visits import Visit
from .task_ids import task_id_of


class CancelTask(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = task_id_of(task_id)
        try:
            done = await visit.api.cancel(wanted)
            visit.say(resp, "done", done.message)
        except Conflict as e:  # it has ended since the page was shown
            visit.say(resp, "failed", str(e.args[0]))
        visit.go(resp, local(visit.form.text("next") or f"/tasks/{wanted}"))


class RetryTask(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = task_id_of(task_id)
        try:
            await visit.api.retry(wanted)
            visit.say(resp, "done", visit.words.gettext("The task runs again."))
        except Conflict as e:  # somebody else was faster
            visit.say(resp, "failed", str(e.args[0]))
        visit.go(resp, f"/tasks/{wanted}")


class DiscardTask(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = task_id_of(task_id)
        handled = await visit.api.dead_letters.discard([wanted])
        _tell(resp, visit, wanted, handled, visit.words.gettext("The task is no dead letter any more."))


class RestoreTask(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = task_id_of(task_id)
        handled = await visit.api.dead_letters.restore([wanted])
        _tell(resp, visit, wanted, handled, visit.words.gettext("The task is a dead letter again."))


def _tell(resp: falcon.asgi.Response, visit: Visit, wanted: UUID, handled: Handled, said: str) -> None:
    if handled.changed:
        visit.say(resp, "done", said)
    else:
        visit.say(resp, "failed", visit.words.gettext("The task has moved on meanwhile; nothing was changed."))
    visit.go(resp, f"/tasks/{wanted}")


@dataclass(frozen=True)
class ChangeTask(Page):
    """The queue, the time, the expiry and the tags of a task that waits."""

    scope = Page.changing

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        task = await visit.api.task(task_id_of(task_id))
        given = {
            "queue": task.queue,
            "run_at": _typed(task.run_at, visit) if task.state != "queued" else "",
            "expires_at": _typed(task.expires_at, visit),
            "tags": "\n".join(task.tags),
        }
        self._show(resp, visit, task, given)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, form = task_id_of(task_id), visit.form
        names = ("queue", "run_at", "expires_at", "tags")
        given, before = {name: form.text(name) for name in names}, {name: form.text(f"was_{name}") for name in names}
        changes = {name: given[name].strip() for name in names if given[name].split() != before[name].split()}
        try:
            await visit.api.change(wanted, **_changes(changes, visit))
        except ValueError:
            said = visit.words.gettext("Write times as 2026-01-31T12:00.")
            self._show(resp, visit, await visit.api.task(wanted), given, before, fault=said)
        except (Invalid, Conflict) as e:
            faults = {pointer: text for pointer, text in e.errors if pointer}
            said = str(e.args[0])
            self._show(resp, visit, await visit.api.task(wanted), given, before, fault=said, faults=faults)
        else:
            visit.say(resp, "done", visit.words.gettext("The task is changed."))
            visit.go(resp, f"/tasks/{wanted}")

    def _show(
        self,
        resp: falcon.asgi.Response,
        visit: Visit,
        task: Task,
        given: dict[str, str],
        before: dict[str, str] | None = None,
        *,
        fault: str = "",
        faults: dict[str, str] | None = None,
    ) -> None:
        self.rendering.show(
            resp,
            visit,
            "task_change.html",
            status=422 if fault else 200,
            task=task,
            given=given,
            before=before or given,
            fault=fault,
            faults=faults or {},
        )


def _changes(typed: dict[str, str], visit: Visit) -> dict[str, Any]:
    """Raises ValueError for a time that is none."""
    found: dict[str, Any] = {name: typed[name] for name in ("queue",) if typed.get(name)}
    for name in ("run_at", "expires_at"):
        if typed.get(name):
            found[name] = moment_from(typed[name], visit.zone)
    if "tags" in typed:
        found["tags"] = [tag.strip() for tag in typed["tags"].splitlines() if tag.strip()]
    return found


def _typed(at: datetime | None, visit: Visit) -> str:
    """As a field for times has it, in the reader's zone."""
    return at.astimezone(visit.zone).strftime("%Y-%m-%dT%H:%M:%S") if at else ""
