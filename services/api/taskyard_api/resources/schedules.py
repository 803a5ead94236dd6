"""Schedules over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection

from taskyard.catalogue.secrets import masked
from taskyard.domain.errors import NotFound, Overloaded, Refused
from taskyard.domain.messages import message
from taskyard.domain.new_tasks import NewTask
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.schedules import changes
from taskyard.schedules.bodies import SHOWN_FIRES, PreviewBody, ScheduleBody, ScheduleChange, ScheduledTask
from taskyard.store import schedules
from taskyard.store.schedules import Fire, Schedule

from .. import schedule_models as models
from .. import views
from ..admission import Admission
from ..auth import Caller, Scope
from ..bodies import Bodies, Body, validated
from ..idempotency import answered_before, key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import cursor_at, id_in_path, query_of, read_cursor
from ..refusals import Fault, Invalid
from ..requests import Request

PATH = "/api/v1/schedules"
MISSING = message("There is no such schedule.")

Change = Callable[[Connection, Schedule], Schedule]


class Book:
    """What the calls share. All but reading and `admitted` happens in one transaction, on a locked row."""

    def __init__(self, ledger: LedgerPool, admission: Admission) -> None:
        self.ledger = ledger
        self._admission = admission

    async def admitted(self, wanted: ScheduledTask, req: Request, body: Body) -> NewTask:
        """Raises Invalid, with pointers into `task`, and what admission raises."""
        try:
            found = await self._admission.admit([wanted.submit], req.context, body)
        except Invalid as e:
            raise Invalid([Fault(f"/task{fault.pointer}", fault.message, fault.code) for fault in e.faults]) from None
        return found.tasks[0]

    async def change(self, text: str, caller: Caller, change: Change) -> dict[str, Any]:
        """The changed schedule as it is shown. Raises NotFound."""

        def changed(conn: Connection) -> dict[str, Any]:
            return shown(conn, [change(conn, locked(conn, text, caller))], caller)[0]

        return await self.ledger.run_transaction(changed)


def locked(conn: Connection, text: str, caller: Caller) -> Schedule:
    """Raises NotFound."""
    found = schedules.get(conn, schedule_id_in(text), queues=caller.queues, lock=True)
    if found is None:
        raise NotFound(MISSING)
    return found


def shown(conn: Connection, found: Sequence[Schedule], caller: Caller) -> list[dict[str, Any]]:
    """Computes due times: not on the event loop."""
    last = schedules.last_fires(conn, [one.id for one in found], queues=caller.queues)
    return [_shown(one, last.get(one.id), caller) for one in found]


def fire_shown(fire: Fire) -> dict[str, Any]:
    return {name: getattr(fire, name) for name in models.Fire.model_fields}


def _shown(found: Schedule, last_fire: Fire | None, caller: Caller) -> dict[str, Any]:
    row = {name: getattr(found, name) for name in Schedule.__slots__}
    task = {name: found.task[name] for name in models.TaskOfSchedule.model_fields if name != "callback_url"}
    callback = found.task.get("callback")
    return views.told(
        caller,
        {
            **{name: row.get(name) for name in models.Schedule.model_fields},
            "next_fires": changes.next_fires(found, SHOWN_FIRES),
            "last_fire": None if last_fire is None else fire_shown(last_fire),
            "task": {**task, "params": masked(task["params"]), "callback_url": callback and callback["url"]},
            "trigger": {name: found.trigger.get(name) for name in models.TriggerOfSchedule.model_fields},
        },
        models.ToldSchedule,
    )


def schedule_id_in(text: str) -> UUID:
    return id_in_path(text, MISSING)


class Schedules:
    def __init__(self, bodies: Bodies, book: Book) -> None:
        self._bodies = bodies
        self._book = book

    @Operation(
        summary="Make a schedule",
        description="Its task is checked as POST /tasks checks it, and kept: a task of it is submitted at each due"
        " time. 409 `name_taken`: another schedule has the name.",
        scope=Scope.MANAGE,
        body=ScheduleBody,
        answers={
            201: Answer(
                description="Made; due from now on.",
                model=models.Schedule,
                without_read=models.ToldSchedule,
                headers=("Location",),
            )
        },
        refusals=(409,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        key, caller, by = key_of(req, body.raw), req.context.caller, req.actor()
        try:
            given = await body.work(partial(validated, ScheduleBody, body.value))
            task = await self._book.admitted(given.task, req, body)
        except Overloaded:
            raise  # no judgement on what was sent
        except Refused:
            if await answered_before(self._book.ledger, key, resp):
                return
            raise
        wanted = {**given.model_dump(exclude={"task"}), "trigger": given.trigger.stored()}

        def make(conn: Connection) -> Committed[StoredAnswer]:
            made = changes.create(conn, wanted, task, by)
            answer = views.encode(shown(conn, [made], caller)[0])
            return Committed(StoredAnswer(201, {"Location": f"{PATH}/{made.id}"}, answer))

        await once_with_the_change(self._book.ledger, key, resp, make)

    @Operation(
        summary="List schedules, newest first",
        scope=Scope.READ,
        query=models.SchedulesQuery,
        answers={200: Answer(description="A page of schedules.", model=models.SchedulePage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(models.SchedulesQuery, req), req.context.caller
        before = read_cursor(query.cursor)

        def read(conn: Connection) -> dict[str, Any]:
            limit = query.limit
            found = schedules.page(conn, limit=limit + 1, before=before, queues=caller.queues, **query.filters())
            more = cursor_at(found[limit - 1].id) if len(found) > limit else None
            return {"items": shown(conn, found[:limit], caller), "next_cursor": more}

        views.send(resp, 200, await self._book.ledger.run(read))


class OneSchedule:
    def __init__(self, bodies: Bodies, book: Book) -> None:
        self._bodies = bodies
        self._book = book

    @Operation(
        summary="Read a schedule",
        scope=Scope.READ,
        answers={200: Answer(description="The schedule.", model=models.Schedule)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        caller, wanted = req.context.caller, schedule_id_in(schedule_id)

        def read(conn: Connection) -> dict[str, Any] | None:
            found = schedules.get(conn, wanted, queues=caller.queues)
            return None if found is None else shown(conn, [found], caller)[0]

        answer = await self._book.ledger.run(read)
        if answer is None:
            raise NotFound(MISSING)
        views.send(resp, 200, answer)

    @Operation(
        summary="Change a schedule",
        description="In effect within two seconds, on every scheduler. What is due and not fired yet stays due, unless"
        " the trigger or `start_at` changes, or the schedule is paused.",
        scope=Scope.MANAGE,
        body=ScheduleChange,
        answers={200: Answer(description="Changed.", model=models.Schedule, without_read=models.ToldSchedule)},
        refusals=(404, 409),
    )
    async def on_patch(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        body = await self._bodies.read(req)
        given = await body.work(partial(validated, ScheduleChange, body.value))
        task = await self._book.admitted(given.task, req, body) if "task" in given.model_fields_set else None
        wanted = {name: getattr(given, name) for name in given.model_fields_set - {"task"}}
        if "trigger" in wanted:
            wanted["trigger"] = given.trigger.stored()
        change = partial(changes.change, changes=wanted, task=task, by=req.actor())
        views.send(resp, 200, await self._book.change(schedule_id, req.context.caller, change))

    @Operation(
        summary="Remove a schedule",
        description="Tasks that it has submitted stay.",
        scope=Scope.MANAGE,
        answers={204: Answer(description="Gone.")},
        refusals=(404,),
    )
    async def on_delete(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        caller, by = req.context.caller, req.actor()
        await self._book.ledger.run_transaction(
            lambda conn: changes.delete(conn, locked(conn, schedule_id, caller), by)
        )
        resp.status = 204


class Preview:
    def __init__(self, bodies: Bodies, book: Book) -> None:
        self._bodies = bodies
        self._book = book

    @Operation(
        summary="The next due times of a trigger, without saving anything",
        scope=Scope.READ,
        body=PreviewBody,
        answers={200: Answer(description="The due times.", model=models.Preview)},
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        given = validated(PreviewBody, body.value)
        trial = changes.Trial(given.trigger.stored(), given.start_at, given.end_at)
        found = await self._book.ledger.run(lambda conn: changes.preview(trial, given.count, schedules.now(conn)))
        views.send(resp, 200, {"next_fires": found})
