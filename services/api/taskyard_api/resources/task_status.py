"""A task's state in the words of Celery."""

from __future__ import annotations

import falcon.asgi

from .. import answers, views
from ..auth import Scope
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..requests import Request
from ..translation import LANGUAGE, Translations
from .tasks import task_id_of, visible_task


class TaskStatus:
    def __init__(self, ledger: LedgerPool, translations: Translations) -> None:
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="A task's state in Celery's words",
        scope=Scope.READ,
        answers={200: Answer(description="The status.", model=answers.TaskStatus, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        row = await visible_task(self._ledger, task_id_of(task_id), req.context.caller)
        words = self._translations.for_reader(req)
        views.send(resp, 200, views.celery_status(row, words), words)
