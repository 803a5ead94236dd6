"""What waits and runs, for autoscalers (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import falcon.asgi

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.store import fleet

from .. import load_answers, views
from ..auth import Caller, Scope
from ..ledger_pool import LedgerPool
from ..models import LoadQuery
from ..operations import Answer, Operation
from ..parameters import query_of
from ..queues import KnownQueues
from ..requests import Request


class Loads:
    def __init__(self, ledger: LedgerPool, known: KnownQueues, *, lease: timedelta) -> None:
        self._ledger = ledger
        self._known = known
        self._lease = lease

    async def named(self, caller: Caller, names: Collection[str]) -> dict[str, Any]:
        """Raises NotFound for a queue to which this caller could not submit: with 0 for a misspelt name, an autoscaler
        would never start a worker, and nobody would know why."""
        for name in names:
            if not caller.sees(name) or not await self._known.has(name):
                raise NotFound(
                    message(
                        "There is no queue {name}, or your key may not see it. A queue exists once the API's"
                        " TASKYARD_QUEUES names it or a worker has served it.",
                        name=name[:80],
                    )
                )
        return await self._counted(names)

    async def seen_by(self, caller: Caller) -> dict[str, Any]:
        names = caller.queues
        if names is None:
            names = self._known.configured | await self._ledger.run(fleet.queue_names)
        return {"queues": sorted(names), **await self._counted(names)}

    async def _counted(self, names: Collection[str]) -> dict[str, Any]:
        return dict(await self._ledger.run(lambda conn: fleet.load(conn, names, lease=self._lease)))


class QueueLoad:
    def __init__(self, loads: Loads) -> None:
        self._loads = loads

    @Operation(
        summary="What waits and runs in a queue at this moment, for an autoscaler",
        scope=Scope.READ,
        answers={200: Answer(description="The numbers.", model=load_answers.QueueLoad)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        views.send(resp, 200, {"queue": name, **await self._loads.named(req.context.caller, [name])})


class Load:
    def __init__(self, loads: Loads) -> None:
        self._loads = loads

    @Operation(
        summary="What waits and runs in several queues together, for the autoscaler of a worker that serves them",
        scope=Scope.READ,
        query=LoadQuery,
        answers={200: Answer(description="The numbers.", model=load_answers.QueuesLoad)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        caller, names = req.context.caller, query_of(LoadQuery, req).queues
        if names is None:
            found = await self._loads.seen_by(caller)
        else:
            found = {"queues": sorted(set(names)), **await self._loads.named(caller, set(names))}
        views.send(resp, 200, found)
