"""What is asked of a worker: to drain, to replace its child processes, to keep another number of them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection

from taskyard.domain.errors import Conflict, NotFound
from taskyard.domain.messages import message
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.control import drain, resize, restart
from taskyard.lifecycle.idempotency import IdempotencyKey, StoredAnswer
from taskyard.store import fleet
from taskyard.store.audit import Actor

from .. import models, views, worker_answers
from ..auth import Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import id_in_path
from ..refusals import QueueNotAllowed
from ..requests import Request
from .fleet import workers_shown

_ASKED = {
    202: Answer(
        description="Asked: the worker learns of it within a second, and at its next heartbeat where Redis is away. A"
        " worker that is lost before that goes on under another id, of which nothing is asked.",
        model=worker_answers.WorkerShown,
        without_read=worker_answers.ToldWorker,
    )
}


class Verb(Protocol):
    def __call__(self, conn: Connection, ids: list[UUID], *, by: Actor, lease: timedelta) -> Committed[list[UUID]]: ...


class Control:
    def __init__(self, ledger: LedgerPool, *, lease: timedelta) -> None:
        self._ledger = ledger
        self._lease = lease

    async def ask(
        self, req: Request, resp: falcon.asgi.Response, worker_id: str, key: IdempotencyKey | None, verb: Verb
    ) -> None:
        """Raises NotFound, Conflict where the worker runs no more, and QueueNotAllowed where it serves queues beside
        those of the caller."""
        missing = message("There is no such worker.")
        wanted, caller, by = id_in_path(worker_id, missing), req.context.caller, req.actor()
        find = partial(fleet.workers, lease=self._lease, queues=caller.queues, worker_id=wanted)

        def work(conn: Connection) -> Committed[StoredAnswer]:
            found = find(conn)
            if not found:
                raise NotFound(missing)
            if not all(caller.sees(queue) for queue in found[0]["queues"]):
                raise QueueNotAllowed(message("This worker also serves queues that this key may not use."))
            done = verb(conn, [wanted], by=by, lease=self._lease)
            (shown,) = workers_shown(conn, find(conn), caller)
            if not done.answer:
                state = shown["state"]
                raise Conflict(message("A worker that is {state} cannot do this.", state=state), state=state)
            told = views.told(caller, shown, worker_answers.ToldWorker)
            return done.answering(StoredAnswer(202, {}, views.encode(told)))

        await once_with_the_change(self._ledger, key, resp, work)


class Drain:
    def __init__(self, bodies: Bodies, control: Control) -> None:
        self._bodies = bodies
        self._control = control

    @Operation(
        summary="Have a worker finish what it runs, and stop",
        description="It takes no more tasks, and ends with exit code 0 once those that it has are done, however long"
        " they take. A container that ends is started again by its host: a fresh worker follows. Repeats change"
        " nothing.",
        scope=Scope.MANAGE,
        answers=_ASKED,
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        await self._control.ask(req, resp, worker_id, key, drain)


class Restart:
    def __init__(self, bodies: Bodies, control: Control) -> None:
        self._bodies = bodies
        self._control = control

    @Operation(
        summary="Replace the child processes of a worker",
        description="One after the other: each works on until its successor is ready, and finishes what it has."
        " `restart_asked_at` of the worker is null again once all of them have ended. 409 while it drains.",
        scope=Scope.MANAGE,
        answers=_ASKED,
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        await self._control.ask(req, resp, worker_id, key, restart)


class Pool:
    def __init__(self, bodies: Bodies, control: Control) -> None:
        self._bodies = bodies
        self._control = control

    @Operation(
        summary="Give a worker another number of child processes",
        description="Until the worker ends: the next one begins as it is configured. Processes that are too many finish"
        " what they have. 409 while it drains.",
        scope=Scope.MANAGE,
        body=models.WorkerPoolBody,
        answers=_ASKED,
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        body = await self._bodies.read(req)
        processes = validated(models.WorkerPoolBody, body.value).processes
        key = key_of(req, body.raw)
        await self._control.ask(req, resp, worker_id, key, partial(resize, processes=processes))
