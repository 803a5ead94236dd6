"""Changes of any number of tasks, made by a task in batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import falcon.asgi
from sqlalchemy import Connection

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.messages import message
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.operations import CHANGE_TASKS, Kind, Wanted, count, start, wanted_of
from taskyard.store import dead_letters, live_tasks

from .. import answers, change_answers, views
from ..admission import Admission
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..change_models import OperationBody
from ..idempotency import answered_before, key_of, once_with_the_change
from ..known_types import KnownTypes
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES
from ..refusals import QueueNotAllowed
from ..requests import Request
from ..translation import LANGUAGE, Translations, Words
from ..views import TaskViews
from .dead_letters import SAMPLE
from .task_actions import with_descendants
from .tasks import PATH, with_warnings


class BulkOperations:
    def __init__(
        self,
        bodies: Bodies,
        ledger: LedgerPool,
        admission: Admission,
        types: KnownTypes,
        shown: TaskViews,
        translations: Translations,
        *,
        replays_per_second: float,
    ) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._admission = admission
        self._types = types
        self._shown = shown
        self._translations = translations
        self._replays_per_second = replays_per_second

    @Operation(
        summary="Change all tasks that fit, however many",
        description="Answers with a task that makes the change in batches, as the calls for up to 1,000 do, at the rate"
        " that is given: its progress tells how far it is, its result how many it changed, and cancelling it stops the"
        " change. It changes what fits now, in the queues that the key may see, and nothing that is submitted, fails or"
        " is discarded later; with the `at` of a dry run as `as_of`, what fitted then. The audit log names the key with"
        " each batch, and the task as its target. With `dry_run` there is no task. 503 `type_not_registered`: no worker"
        " has brought the task type that does it.",
        scope=Scope.MANAGE,
        body=OperationBody,
        answers={
            200: Answer(
                description="With `dry_run`: how many would change.", model=change_answers.Looked, headers=LANGUAGE
            ),
            202: Answer(
                description="The task that makes the change.",
                model=answers.AcceptedTask,
                without_read=answers.ToldAcceptedTask,
                headers=("Location", *LANGUAGE),
            ),
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        asked = validated(OperationBody, body.value)
        key, caller, words = key_of(req, body.raw), req.context.caller, self._translations.for_reader(req)
        kind = Kind(asked.action)
        if asked.dry_run:
            wanted = wanted_of(kind, asked.conditions, queues=_seen(caller), asked_at=asked.as_of)
            await once_with_the_change(self._ledger, key, resp, partial(self._look, wanted, caller, words))
            return
        if await answered_before(self._ledger, key, resp):
            return
        await self._admission.require_type(CHANGE_TASKS)
        params: dict[str, Any] = {
            "action": asked.action,
            "filter": asked.filter.model_dump(mode="json", exclude_unset=True),
            "per_second": asked.per_second or (self._replays_per_second if kind is Kind.RETRY else None),
        }
        wish = SubmitTask(name=CHANGE_TASKS, params=params, queue=self._queue(caller))
        admitted = await self._admission.admit([wish], req.context, body)
        (task,), by = admitted.tasks, req.actor()

        def work(conn: Connection) -> Committed[StoredAnswer]:
            done = start(conn, task, by=by, as_of=asked.as_of)
            shown = with_warnings(self._shown.of_new(task, done.answer, caller), admitted, words)
            headers = {"Location": f"{PATH}/{task.id}", **words.headers()}
            return done.answering(StoredAnswer(202, headers, views.encode(shown)))

        await once_with_the_change(self._ledger, key, resp, work)

    def _look(self, wanted: Wanted, caller: Caller, words: Words, conn: Connection) -> Committed[StoredAnswer]:
        told: dict[str, Any] = {"matched": count(conn, wanted), "changed": 0, "at": live_tasks.now(conn)}
        if isinstance(wanted, live_tasks.Wanted):
            rows = live_tasks.sample(conn, wanted, limit=SAMPLE, most_bytes=PAGE_BYTES)
            told |= with_descendants(conn, wanted)
        else:
            rows = dead_letters.page(conn, wanted, limit=SAMPLE, oldest_first=True, most_bytes=PAGE_BYTES)
        told["sample"] = [self._shown.of_row(row, caller, words) for row in rows]
        return Committed(StoredAnswer(200, words.headers(), views.encode(told)))

    def _queue(self, caller: Caller) -> str | None:
        """One where the key may read the task. Raises QueueNotAllowed."""
        spec = self._types.registry.admitting(CHANGE_TASKS)
        if spec is None or caller.sees(spec.queue):
            return None
        seen = sorted(filter(caller.sees, self._types.registry.queues_serving(CHANGE_TASKS)))
        if not seen:
            raise QueueNotAllowed(message("No worker makes such changes in a queue of this key."))
        return seen[0]


def _seen(caller: Caller) -> list[str] | None:
    return None if caller.queues is None else sorted(caller.queues)
