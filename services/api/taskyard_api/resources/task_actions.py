"""Actions on one task: cancel, retry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection, RowMapping

from taskyard.domain.errors import Conflict, NotFound
from taskyard.domain.tasks import FINAL, Change, State
from taskyard.lifecycle.cancel import Cancellation, cancel, cancel_descendants
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Recorded
from taskyard.lifecycle.retry import retry
from taskyard.store import audit
from taskyard.store.audit import Action

from .. import answers, views
from ..auth import Scope
from ..bodies import read_nothing
from ..idempotency import key_of, once
from ..ledger_pool import LedgerPool
from ..models import MAX_TASKS
from ..operations import Answer, operation
from ..requests import Request
from ..translation import Words
from ..views import TaskViews
from .tasks import task_id_of, visible_task


def _audited(change: Change) -> dict[str, Any]:
    """What the audit log records of a task besides its id."""
    return {"name": change.name, "queue": change.queue, "state": change.state}


class TaskCancel:
    def __init__(self, ledger: LedgerPool, dispatcher: Dispatcher) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher

    @operation(
        summary="Cancel a task",
        scope=Scope.MANAGE,
        description="A waiting task is cancelled at once. A running task is asked to stop; if it does not, its process "
        "is ended. The tasks that it submitted are cancelled too, unless it was submitted with `on_cancel: "
        "leave_children`. The timeline shows each step: requested, delivered, acknowledged or forced. Repeats get the "
        "same answer.",
        answers={202: Answer(description="Cancelled, or on the way to it.", model=answers.Cancelled)},
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        key = key_of(req, await read_nothing(req))

        async def work() -> None:
            views.send(resp, 202, await self._cancel(task_id_of(task_id), req))

        await once(self._ledger, key, resp, work)

    async def _cancel(self, task_id: UUID, req: Request) -> dict[str, Any]:
        actor = req.actor()

        def change(conn: Connection) -> tuple[list[Cancellation], list[Change]]:
            found = cancel(conn, [task_id], actor=actor.name)
            followed: list[Change] = []
            for one in found:
                if one.before in FINAL:
                    continue
                followed = cancel_descendants(conn, task_id, actor=actor.name)
                if followed or not one.is_repeated:
                    details = {**_audited(one.change), "before": one.before}
                    if followed:
                        details["followed"] = [child.task_id for child in followed[:MAX_TASKS]]
                    audit.record(conn, actor, Action.TASK_CANCEL, task_id, **details)
            return found, followed

        await visible_task(self._ledger, task_id, req.context.caller)
        found, followed = await self._ledger.run_transaction(change)
        if not found:
            raise NotFound("There is no such task.")
        if found[0].before in FINAL:
            raise Conflict(f"The task is {found[0].before} already.", state=found[0].before)
        changes = [found[0].change, *followed]
        running = [c.task_id for c in changes if c.state is State.RUNNING]
        self._dispatcher.dispatch(Committed(changes=changes, cancels=running))
        return {"task_id": task_id, **_cancel_status(found[0])}


def _cancel_status(found: Cancellation) -> dict[str, str]:
    if found.change.state is State.CANCELLED:
        return {"status": "CANCELLED", "message": "The task was cancelled."}
    if found.is_repeated:
        return {"status": "CANCELLING", "message": "The task had been asked to stop before, and still runs."}
    return {"status": "CANCELLING", "message": "The task was asked to stop."}


class TaskRetry:
    def __init__(self, ledger: LedgerPool, dispatcher: Dispatcher, shown: TaskViews, *, life: timedelta) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._shown = shown
        self._life = life

    @operation(
        summary="Run a failed or cancelled task again",
        scope=Scope.MANAGE,
        description="Same id, fresh retry and crash budgets; the history is kept.",
        answers={202: Answer(description="Queued again.", model=answers.Task)},
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        key = key_of(req, await read_nothing(req))

        async def work() -> None:
            row = await self._retry(task_id_of(task_id), req)
            # A queued task has no error, so the stored answer needs no reader's language.
            views.send(resp, 202, self._shown.of_row(row, Words()))

        await once(self._ledger, key, resp, work)

    async def _retry(self, task_id: UUID, req: Request) -> RowMapping:
        caller, actor = req.context.caller, req.actor()

        def change(conn: Connection) -> Recorded:
            done = retry(conn, [task_id], life=self._life, actor=actor.name)
            for one in done.changes:
                audit.record(conn, actor, Action.TASK_RETRY, task_id, **_audited(one))
            return done

        await visible_task(self._ledger, task_id, caller)
        done = await self._ledger.run_transaction(change)
        # Before the task is read again, which may fail.
        self._dispatcher.dispatch(Committed(done.publications, done.outbox_id, done.changes))
        row = await visible_task(self._ledger, task_id, caller, admitted=True)
        if not done.changes:
            # The state now: it may have changed between the look and the verb.
            state = row["state"]
            raise Conflict(f"Only failed and cancelled tasks are retried; this one is {state}.", state=state)
        return row
