"""Making a schedule and changing one, with a preview of its next times."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import falcon
import falcon.asgi

from taskyard_client.errors import ApiRefused, Conflict, Invalid, NotFound
from taskyard_client.management_models import Schedule
from taskyard_client.type_models import TaskType

from .. import masked, schemas, submission
from .. import schedule_drafts as drafts
from ..access import MANAGE
from ..forms import Form
from ..json_text import json_of
from ..page import Page
from ..rendering import Rendering
from ..schema_fields import Field
from ..visits import Visit
from .task_ids import task_id_of as id_of

_PARAMS = "/task/params"
_AS_JSON = "params"


@dataclass(frozen=True, slots=True)
class Draft:
    """What stands in the form. `zone`: that of its times; `schedule`: the one that is changed, and `before` the marks
    of its fields as they were shown; `faults`: by pointer into what the API takes."""

    values: drafts.Values
    kind: TaskType | None
    zone: ZoneInfo
    given: Mapping[str, Any] = field(default_factory=dict)
    form: Form | None = None
    schedule: Schedule | None = None
    before: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)

    def params(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The parameters that were typed, and what is wrong with them."""
        if self.form is None:
            return dict(self.given), {}
        if self.kind is not None:
            return schemas.read(self.kind.params, self.form)
        try:
            found = json_of(self.form.text(_AS_JSON).strip() or "{}")
        except ValueError:
            return {}, {"": schemas.NOT_JSON}
        return found, {}

    def fields(self) -> list[Field]:
        assert self.kind is not None
        faults = {name.removeprefix(_PARAMS): said for name, said in self.faults.items() if name.startswith(_PARAMS)}
        return schemas.drawn(self.kind.params, self.given, faults, self.form)

    def text(self) -> str:
        """The parameters where the type is not known."""
        return json.dumps(self.given, indent=2, ensure_ascii=False) if self.form is None else self.form.text(_AS_JSON)


@dataclass(frozen=True)
class _Forms(Page):
    scope = MANAGE

    rendering: Rendering

    async def show(self, resp: falcon.asgi.Response, visit: Visit, draft: Draft) -> None:
        """With the next times of what stands in it."""
        times, wrong = await previewed(visit, draft)
        known = known_fields(draft.kind, draft.form)
        self.rendering.show(
            resp,
            visit,
            "schedule_form.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if draft.faults else falcon.HTTP_OK,
            draft=draft,
            values=draft.values,
            faults=draft.faults,
            others={name: said for name, said in draft.faults.items() if name not in known},
            zones=zones(),
            units=tuple(drafts.UNITS),
            times=times,
            wrong=wrong,
            now=datetime.now(UTC),
        )


async def previewed(visit: Visit, draft: Draft) -> tuple[list[datetime], list[str]]:
    """The next times, or why there are none."""
    trigger, bounds = drafts.trigger_of(draft.values, draft.zone), drafts.bounds_of(draft.values, draft.zone)
    try:
        return await visit.api.schedules.preview(trigger, **bounds), []
    except Invalid as e:
        return [], [said for _, said in e.errors] or [str(e.args[0])]


# What the form has a field for.
_FIELDS = frozenset(
    {
        *("/name", "/task/queue", "/task/max_attempts", "/task/tags", "/trigger/cron", "/trigger/timezone"),
        *(
            "/trigger",
            "/trigger/every_seconds",
            "/trigger/at",
            "/catch_up_seconds",
            "/jitter_seconds",
            "/start_at",
            "/end_at",
        ),
    }
)


def known_fields(kind: TaskType | None, form: Form | None = None) -> frozenset[str]:
    """The places that have a field, by pointer into what the API takes."""
    if kind is None:
        return _FIELDS
    return _FIELDS | {_PARAMS + name for name in schemas.names_of(schemas.drawn(kind.params, typed=form))}


@cache
def zones() -> tuple[str, ...]:
    return (*sorted(name for name in available_timezones() if name == "UTC" or ("/" in name and not _is_old(name))),)


def _is_old(name: str) -> bool:
    return name.startswith(("Etc/", "SystemV/", "US/", "posix/", "right/"))


def faults_of(error: ApiRefused, kind: TaskType | None, form: Form | None = None) -> dict[str, str]:
    """What the API says, by the field that holds the place; what belongs to none, by its pointer."""
    known, found = known_fields(kind, form), dict[str, str]()
    errors = error.errors or [("/name" if error.code == "name_taken" else "", str(error.args[0]))]
    for pointer, said in errors:
        found.setdefault(submission.nearest(pointer, known) or pointer, said)
    return found


async def kind_of(visit: Visit, name: str) -> TaskType | None:
    try:
        return await visit.api.task_type(name) if name else None
    except NotFound:
        return None


class NewSchedule(_Forms):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        name = (req.get_param("task") or "").strip()
        if not name:
            self.rendering.show(resp, visit, "schedule_type.html", types=await visit.api.task_types.items())
            return
        kind = await kind_of(visit, name)
        await self.show(resp, visit, Draft(drafts.blank(name, visit.zone), kind, visit.zone))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        draft = await _draft(visit)
        if "preview" in visit.form:
            await self.show(resp, visit, draft)
            return
        params, faults = _wrong_params(visit, draft)
        if not faults:
            try:
                made = await visit.api.schedules.create(**drafts.wish_of(draft.values, params, draft.zone))
            except (Invalid, Conflict) as e:
                faults = faults_of(e, draft.kind, draft.form)
            else:
                visit.say(resp, "done", visit.words.gettext("The schedule was made."))
                visit.go(resp, f"/schedules/{made.id}")
                return
        await self.show(resp, visit, _faulty(draft, faults))


class EditSchedule(_Forms):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        schedule = await visit.api.schedules.get(id_of(schedule_id))
        kind = await kind_of(visit, schedule.task["name"])
        values, given = drafts.of_schedule(schedule, visit.zone), schedule.task["params"]
        before = json.dumps(drafts.marks(_untouched(values, kind, visit.zone, schedule)))
        await self.show(resp, visit, Draft(values, kind, visit.zone, given, schedule=schedule, before=before))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        visit: Visit = req.context.visit
        schedule, draft = await asyncio.gather(visit.api.schedules.get(id_of(schedule_id)), _draft(visit))
        draft = replace(draft, schedule=schedule, before=visit.form.text("before"))
        if "preview" in visit.form:
            await self.show(resp, visit, draft)
            return
        params, faults = _wrong_params(visit, draft)
        changes: dict[str, Any] = {}
        if not faults:
            wish = drafts.wish_of(draft.values, params, draft.zone, schedule.task)
            changes = drafts.changed(wish, _marks(draft.before))
            if "task" in changes:
                faults = _without_secret(visit, params, schedule)
        if not faults:
            try:
                await visit.api.schedules.change(schedule.id, **changes)
            except (Invalid, Conflict) as e:
                faults = faults_of(e, draft.kind, draft.form)
            else:
                visit.say(resp, "done", visit.words.gettext("The schedule was changed."))
                visit.go(resp, f"/schedules/{schedule.id}")
                return
        await self.show(resp, visit, _faulty(draft, faults))


def _untouched(values: drafts.Values, kind: TaskType | None, zone: ZoneInfo, schedule: Schedule) -> dict[str, Any]:
    """The schedule as the form would send it if nobody touched it."""
    params = schedule.task["params"]
    if kind is not None:
        params, _ = schemas.read(kind.params, schemas.sent(schemas.drawn(kind.params, params)))
    return drafts.wish_of(values, params, zone, schedule.task)


def _marks(text: str) -> dict[str, Any]:
    """Without them, all counts as touched."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _draft(visit: Visit) -> Draft:
    values = drafts.of_form(visit.form)
    kind = await kind_of(visit, values["task"])
    return Draft(values, kind, drafts.zone_of_form(visit.form, visit.zone), form=visit.form)


def _wrong_params(visit: Visit, draft: Draft) -> tuple[dict[str, Any], dict[str, str]]:
    params, wrong = draft.params()
    _ = visit.words.gettext
    said = {schemas.NOT_JSON: _("This is not JSON."), schemas.NOT_AN_OBJECT: _("This is not a JSON object.")}
    return params, {f"{_PARAMS}{pointer}": said[fault] for pointer, fault in wrong.items()}


def _without_secret(visit: Visit, params: dict[str, Any], schedule: Schedule) -> dict[str, str]:
    """A task is replaced as a whole: secrets that nobody has typed again would be gone."""
    said = visit.words.gettext("A secret was here, which nobody is shown: type it again.")
    places = masked.still_empty(params, list(masked.places(schedule.task["params"])))
    return {f"{_PARAMS}{place}": said for place in places}


def _faulty(draft: Draft, faults: Mapping[str, str]) -> Draft:
    return replace(draft, faults=faults)
