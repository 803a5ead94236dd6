"""Why a task is where it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import falcon.asgi

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.lifecycle.explanation import facts_of

from .. import views
from ..auth import Scope
from ..explanation_answers import Explanation
from ..explanations import explained
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..requests import Request
from ..translation import LANGUAGE, Translations
from .tasks import task_id_of


class TaskExplanation:
    """`redis_takes`: whether Redis takes messages at this moment."""

    def __init__(
        self,
        ledger: LedgerPool,
        translations: Translations,
        redis_takes: Callable[[], Awaitable[bool]],
        *,
        lease: timedelta,
    ) -> None:
        self._ledger = ledger
        self._translations = translations
        self._redis_takes = redis_takes
        self._lease = lease

    @Operation(
        summary="Why a task is where it is, in words and codes",
        description="For a task that waits: what keeps it, and its place in the queue. For one that runs: since when,"
        " where, and until when it may. For one that has ended: how. Codes are stable, and more may come.",
        scope=Scope.READ,
        answers={200: Answer(description="The explanation.", model=Explanation, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        read = partial(facts_of, task_id=task_id_of(task_id), lease=self._lease, queues=req.context.caller.queues)
        facts = await self._ledger.run(read)
        if facts is None:
            raise NotFound(message("There is no such task."))
        if facts.is_perhaps_published:
            facts = replace(facts, redis_takes=await self._redis_takes())
        words = self._translations.for_reader(req)
        views.send(resp, 200, explained(facts, words), words)
