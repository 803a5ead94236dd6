"""What is done with a schedule over HTTP beside changing it: pause, resume, trigger; and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.schedules import changes
from taskyard.store import schedules
from taskyard.store.schedules import Fire

from .. import schedule_models as models
from .. import views
from ..auth import Caller, Scope
from ..bodies import Bodies
from ..idempotency import key_of, once_with_the_change
from ..models import PageQuery
from ..operations import Answer, Operation
from ..parameters import cursor_at, query_of, read_cursor
from ..refusals import Fault, Invalid
from ..requests import Request
from .schedules import MISSING, Book, fire_shown, locked, schedule_id_in

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Pause:
    def __init__(self, bodies: Bodies, book: Book) -> None:
        self._bodies = bodies
        self._book = book

    @Operation(
        summary="Pause a schedule",
        description="Nothing of it is due until it is resumed.",
        scope=Scope.MANAGE,
        answers={200: Answer(description="Paused.", model=models.Schedule, without_read=models.ToldSchedule)},
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        await self._bodies.read_nothing(req)
        pause = partial(changes.switch, enabled=False, by=req.actor())
        views.send(resp, 200, await self._book.change(schedule_id, req.context.caller, pause))


class Resume:
    def __init__(self, bodies: Bodies, book: Book) -> None:
        self._bodies = bodies
        self._book = book

    @Operation(
        summary="Resume a schedule",
        description="From the next due time on: those that passed meanwhile are not made up for.",
        scope=Scope.MANAGE,
        answers={200: Answer(description="Enabled.", model=models.Schedule, without_read=models.ToldSchedule)},
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        await self._bodies.read_nothing(req)
        resume = partial(changes.switch, enabled=True, by=req.actor())
        views.send(resp, 200, await self._book.change(schedule_id, req.context.caller, resume))


class Trigger:
    def __init__(self, bodies: Bodies, book: Book) -> None:
        self._bodies = bodies
        self._book = book

    @Operation(
        summary="Submit the task of a schedule now",
        description="Also while it is paused; its due times stay as they are. 409 where the last task has not ended and"
        " `overlap` is `skip`.",
        scope=Scope.MANAGE,
        answers={202: Answer(description="Submitted.", model=models.Fire, without_read=models.ToldFire)},
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        context, by = req.context, req.actor()

        def trigger(conn: Connection) -> Committed[StoredAnswer]:
            found = locked(conn, schedule_id, context.caller)
            done = changes.trigger(conn, found, by, request_id=context.request_id, traceparent=context.traceparent)
            return done.answering(StoredAnswer(202, {}, views.encode(_fire(done.answer, context.caller))))

        await once_with_the_change(self._book.ledger, key, resp, trigger)


def _fire(fire: Fire, caller: Caller) -> dict[str, object]:
    return views.told(caller, fire_shown(fire), models.ToldFire)


class Fires:
    def __init__(self, book: Book) -> None:
        self._book = book

    @Operation(
        summary="What became of each due time, the latest first",
        description="Kept for 90 days, unless the installation says otherwise.",
        scope=Scope.READ,
        query=PageQuery,
        answers={200: Answer(description="A page of fires.", model=models.FirePage)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, schedule_id: str) -> None:
        query, caller, wanted = query_of(PageQuery, req), req.context.caller, schedule_id_in(schedule_id)
        before = read_cursor(query.cursor)

        def read(conn: Connection) -> list[Fire] | None:
            if schedules.get(conn, wanted, queues=caller.queues) is None:
                return None
            return schedules.fires_page(
                conn,
                wanted,
                limit=query.limit + 1,
                before=None if before is None else _time_at(before),
                queues=caller.queues,
            )

        found = await self._book.ledger.run(read)
        if found is None:
            raise NotFound(MISSING)
        more = _cursor_of(found[query.limit - 1].due_at) if len(found) > query.limit else None
        items = [_fire(fire, caller) for fire in found[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": more})


def _cursor_of(due_at: datetime) -> str:
    """As all cursors, of 16 bytes; these are microseconds."""
    return cursor_at(UUID(int=(due_at - _EPOCH) // _MICROSECOND))


def _time_at(cursor: UUID) -> datetime:
    """Raises Invalid."""
    try:
        return _EPOCH + cursor.int * _MICROSECOND
    except OverflowError:
        raise Invalid([Fault("?cursor", message("This is not a cursor of this list."))]) from None
