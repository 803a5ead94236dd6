"""One schedule: when it is due, what became of each due time, and what can be done to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

import falcon
import falcon.asgi

from ..access import MANAGE
from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..visits import Visit
from .task_ids import task_id_of as id_of

_FIRES = 50


@dataclass(frozen=True)
class OneSchedule(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, schedules = id_of(schedule_id), visit.api.schedules
        schedule, fires = await asyncio.gather(
            schedules.get(wanted),
            part(schedules.fires_page(wanted, limit=_FIRES, cursor=req.get_param("cursor") or None)),
        )
        self.rendering.show(
            resp,
            visit,
            "schedule.html",
            schedule=schedule,
            fires=fires,
            seed=uuid4(),
            now=datetime.now(UTC),
        )


class SwitchSchedule(Page):
    """Pauses a schedule, or resumes it."""

    verb: ClassVar[str]

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, _ = id_of(schedule_id), visit.words.gettext
        if self.verb == "pause":
            await visit.api.schedules.pause(wanted)
            visit.say(resp, "done", _("The schedule is paused: nothing of it is due until it is resumed."))
        else:
            await visit.api.schedules.resume(wanted)
            visit.say(resp, "done", _("The schedule is due again, from its next time on."))
        visit.go(resp, f"/schedules/{wanted}")


class PauseSchedule(SwitchSchedule):
    verb = "pause"


class ResumeSchedule(SwitchSchedule):
    verb = "resume"


class TriggerSchedule(Page):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        # The same button, pressed twice, is one run.
        fire = await visit.api.schedules.trigger(id_of(schedule_id), idempotency_key=visit.form.text("seed") or None)
        visit.say(resp, "done", visit.words.gettext("Its task was submitted."))
        visit.go(resp, f"/tasks/{fire.task_id}")


@dataclass(frozen=True)
class DeleteSchedule(Page):
    scope = MANAGE

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        schedule = await visit.api.schedules.get(id_of(schedule_id))
        self.rendering.show(resp, visit, "schedule_delete.html", schedule=schedule)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, _ = id_of(schedule_id), visit.words.gettext
        schedule = await visit.api.schedules.get(wanted)
        if visit.form.text("typed") != schedule.name:
            visit.say(resp, "failed", _("Type the name of the schedule to delete it."))
            visit.go(resp, f"/schedules/{wanted}/delete")
            return
        await visit.api.schedules.delete(wanted)
        visit.say(resp, "done", _("The schedule %(name)s was deleted.") % {"name": schedule.name})
        visit.go(resp, "/schedules")
