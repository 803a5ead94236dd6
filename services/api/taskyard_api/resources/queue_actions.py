"""What is done with a queue: pause, resume, purge."""

from __future__ import annotations

import asyncio
from functools import partial

import falcon.asgi

from taskyard.lifecycle import queues
from taskyard.lifecycle.cancel_many import MOST_AT_ONCE, purge, waiting_in
from taskyard.lifecycle.queues import recall
from taskyard.store import live_tasks

from .. import views
from ..auth import Scope
from ..bodies import Bodies, validated
from ..change_models import PurgeBody
from ..idempotency import key_of, once
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES
from ..queue_answers import Purged, QueueShown, ToldQueue
from ..requests import Request
from ..translation import LANGUAGE, Translations
from ..views import TaskViews
from .dead_letters import SAMPLE
from .fleet import Queues

# Of one call: two or three seconds.
MOST_PURGED = 10_000
# In which workers give back what they have not begun. One that is slower may run it.
_RECALL_SECONDS = 0.2


class Pause:
    def __init__(self, bodies: Bodies, queues: Queues) -> None:
        self._bodies = bodies
        self._queues = queues

    @Operation(
        summary="Pause a queue",
        description="No worker begins one of its tasks until it is resumed; what runs goes on, and submits are taken."
        " Holds through every restart.",
        scope=Scope.MANAGE,
        answers={200: Answer(description="Paused.", model=QueueShown, without_read=ToldQueue)},
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        await self._bodies.read_nothing(req)
        pause = partial(queues.pause, name=name, by=req.actor())
        views.send(resp, 200, await self._queues.change(req.context.caller, name, pause))


class Resume:
    def __init__(self, bodies: Bodies, queues: Queues) -> None:
        self._bodies = bodies
        self._queues = queues

    @Operation(
        summary="Resume a queue",
        scope=Scope.MANAGE,
        answers={
            200: Answer(
                description="Its tasks begin again.",
                model=QueueShown,
                without_read=ToldQueue,
            )
        },
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        await self._bodies.read_nothing(req)
        resume = partial(queues.resume, name=name, by=req.actor())
        views.send(resp, 200, await self._queues.change(req.context.caller, name, resume))


class Purge:
    def __init__(self, bodies: Bodies, queues: Queues, shown: TaskViews, translations: Translations) -> None:
        self._bodies = bodies
        self._queues = queues
        self._shown = shown
        self._translations = translations

    @Operation(
        summary="Cancel all that waits in a queue",
        description="Blocked, scheduled, queued and retrying tasks, the oldest first, with what they submitted; what"
        f" runs goes on. In batches of {MOST_AT_ONCE:,}, up to {MOST_PURGED:,} in a call: `left` is what still waits."
        " What is submitted meanwhile stays.",
        scope=Scope.MANAGE,
        body=PurgeBody,
        is_body_optional=True,
        answers={200: Answer(description="How many were cancelled.", model=Purged, headers=LANGUAGE)},
        refusals=(404,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        body = await self._bodies.read_if_any(req)
        asked = validated(PurgeBody, body.value)
        ledger, caller, words = self._queues.ledger, req.context.caller, self._translations.for_reader(req)
        await self._queues.one(caller, name)

        async def work() -> None:
            changed, at = 0, await ledger.run(live_tasks.now)
            until = at if asked.created_before is None else min(at, asked.created_before)
            waiting = waiting_in(name, until)
            if asked.dry_run:
                page = partial(live_tasks.sample, wanted=waiting, limit=SAMPLE, most_bytes=PAGE_BYTES)
                sample = [self._shown.of_row(row, caller, words) for row in await ledger.run(page)]
            else:
                sample = []
                # What a worker has claimed and not begun waits, too.
                await ledger.commit(lambda _: recall(name))
                await asyncio.sleep(_RECALL_SECONDS)
                while changed < MOST_PURGED:
                    ids = await ledger.commit(partial(purge, queue=name, until=until, by=req.actor()))
                    changed += len(ids)
                    if not ids:
                        break
            left = await ledger.run(partial(live_tasks.count, wanted=waiting))
            told = {"matched": left + changed, "changed": changed, "left": left, "at": at, "sample": sample}
            views.send(resp, 200, told, words)

        await once(ledger, key_of(req, body.raw), resp, work)
