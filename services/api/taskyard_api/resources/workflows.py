"""Workflows: submit, list, read, cancel, run again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection, RowMapping

from taskyard.admission.bodies import SubmitWorkflow
from taskyard.domain.errors import Conflict, NotFound
from taskyard.domain.messages import message
from taskyard.domain.workflows import FlowState, NewWorkflow
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.workflows import cancel_workflow, retry_workflow
from taskyard.store import workflows as store

from .. import flow_models, flow_views, views
from ..admission import Admitted
from ..auth import Caller, Scope
from ..bodies import MAX_BATCH_BODY, Bodies
from ..flows import Flows
from ..idempotency import key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import cursor_at, id_in_path, next_cursor, query_of, read_cursor
from ..requests import Request
from ..translation import LANGUAGE, Translations, Words
from .tasks import with_warnings

PATH = "/api/v1/workflows"
_STEPS = 50
_MISSING = message("There is no such workflow.")


def _workflow_seen(conn: Connection, workflow_id: UUID, caller: Caller) -> RowMapping:
    """The workflow, where it exists and the caller may see the queues of all its steps. Raises NotFound."""
    row = store.by_id(conn, workflow_id=workflow_id, queues=caller.queues)
    if row is None:
        raise NotFound(_MISSING)
    return row


async def visible_workflow(ledger: LedgerPool, workflow_id: UUID, caller: Caller) -> RowMapping:
    """The same, in a call of its own."""
    return await ledger.run(partial(_workflow_seen, workflow_id=workflow_id, caller=caller))


def workflow_id_of(text: str) -> UUID:
    """Raises NotFound."""
    return id_in_path(text, _MISSING)


def _shown(row: RowMapping, steps: Sequence[RowMapping], limit: int, words: Words) -> dict[str, Any]:
    items = [flow_views.step(step, words) for step in steps[:limit]]
    more = cursor_at(items[-1]["task_id"]) if len(steps) > limit else None
    return flow_views.workflow(row, items, more)


class Workflows:
    def __init__(self, bodies: Bodies, flows: Flows, ledger: LedgerPool, translations: Translations) -> None:
        self._bodies = bodies
        self._flows = flows
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="Submit a workflow: steps that need each other",
        description="Up to 10,000 steps, all of them or none. A step runs once all that it needs has succeeded. "
        '`{"$result": "step.path.to[0]"}` in its parameters takes a part of the result of a step that comes before. '
        "422 `cycle`: steps need each other in a circle. 422 `unknown_step`, `step_not_needed`: by pointer.",
        scope=Scope.SUBMIT,
        body=SubmitWorkflow,
        answers={
            202: Answer(
                description="Accepted and durable.",
                model=flow_models.AcceptedWorkflow,
                without_read=flow_models.ToldWorkflow,
                headers=("Location", "Content-Language"),
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req, limit=MAX_BATCH_BODY)
        key = await body.work(partial(key_of, req, body.raw))
        caller, words = req.context.caller, self._translations.for_reader(req)

        def answer(conn: Connection, flow: NewWorkflow, admitted: Admitted) -> StoredAnswer:
            row = store.by_id(conn, flow.id)
            assert row is not None
            shown = _shown(row, store.steps_page(conn, flow.id, limit=_STEPS + 1), _STEPS, words)
            content = flow_views.of_caller(caller, with_warnings(shown, admitted, words))
            return StoredAnswer(202, {"Location": f"{PATH}/{flow.id}", **words.headers()}, views.encode(content))

        await self._flows.take(req, resp, key, body, answer)

    @Operation(
        summary="List workflows, newest first",
        scope=Scope.READ,
        query=flow_models.WorkflowsQuery,
        answers={200: Answer(description="A page of workflows, without their steps.", model=flow_models.WorkflowPage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(flow_models.WorkflowsQuery, req), req.context.caller
        filters = query.filters()
        states = tuple(dict.fromkeys(filters.pop("state") or ()))
        wanted = store.FlowFilter(**filters, states=states, queues=caller.queues)
        page = partial(store.page, wanted=wanted, before=read_cursor(query.cursor), limit=query.limit + 1)
        rows = await self._ledger.run(page)
        items = [flow_views.summary(row) for row in rows[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": next_cursor(rows, query.limit)})


class OneWorkflow:
    def __init__(self, ledger: LedgerPool, translations: Translations) -> None:
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="Read a workflow, with a page of its steps",
        scope=Scope.READ,
        query=flow_models.WorkflowQuery,
        answers={200: Answer(description="The workflow.", model=flow_models.Workflow, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        query, caller = query_of(flow_models.WorkflowQuery, req), req.context.caller
        row = await visible_workflow(self._ledger, workflow_id_of(workflow_id), caller)
        page = partial(
            store.steps_page,
            workflow_id=row["id"],
            after=read_cursor(query.cursor),
            states=query.state or (),
            limit=query.limit + 1,
            needs_limit=query.needs_limit,
        )
        steps, words = await self._ledger.run(page), self._translations.for_reader(req)
        views.send(resp, 200, _shown(row, steps, query.limit, words), words)


class WorkflowCancel:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="Cancel a workflow",
        scope=Scope.MANAGE,
        description="No further step is queued. The scheduler cancels what waits and asks what runs to stop, within "
        "about a second; a step that is queued already may begin before. Harmless when repeated.",
        answers={202: Answer(description="On the way to it.", model=flow_models.WorkflowCancelled, headers=LANGUAGE)},
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        wanted, words = workflow_id_of(workflow_id), self._translations.for_reader(req)
        caller, by = req.context.caller, req.actor()

        def work(conn: Connection) -> Committed[StoredAnswer]:
            _workflow_seen(conn, wanted, caller)
            done = cancel_workflow(conn, wanted, by=by)
            state = done.answer
            if state is None:
                raise NotFound(_MISSING)
            if state is not FlowState.RUNNING:
                raise Conflict(message("The workflow is {state} already.", state=state), state=state)
            said = words.say(message("The workflow is being cancelled."))
            shown = {"workflow_id": wanted, "status": "CANCELLING", "message": said}
            return done.answering(StoredAnswer(202, words.headers(), views.encode(shown)))

        await once_with_the_change(self._ledger, key, resp, work)


class WorkflowRetry:
    def __init__(self, bodies: Bodies, ledger: LedgerPool) -> None:
        self._bodies = bodies
        self._ledger = ledger

    @Operation(
        summary="Run again what did not succeed",
        scope=Scope.MANAGE,
        description="Steps that succeeded keep their results. The others run once what they need has succeeded.",
        answers={
            202: Answer(
                description="Running again.",
                model=flow_models.Workflow,
                without_read=flow_models.ToldWorkflow,
            )
        },
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        wanted, caller, by = workflow_id_of(workflow_id), req.context.caller, req.actor()

        def work(conn: Connection) -> Committed[StoredAnswer]:
            _workflow_seen(conn, wanted, caller)
            done = retry_workflow(conn, wanted, by=by)
            found = done.answer
            if found is None:
                raise NotFound(_MISSING)
            if not found.steps and found.before in {FlowState.FAILED, FlowState.CANCELLED}:
                raise Conflict(
                    message("Every step has succeeded, so there is nothing to run again."), state=found.before
                )
            if not found.steps:
                told = message(
                    "Only failed and cancelled workflows run again; this one is {state}.", state=found.before
                )
                raise Conflict(told, state=found.before)
            steps = store.steps_page(conn, wanted, limit=_STEPS + 1)
            # Steps that run again have no error, so the stored answer needs no reader's language.
            shown = _shown(_workflow_seen(conn, wanted, caller), steps, _STEPS, Words())
            return done.answering(StoredAnswer(202, {}, views.encode(flow_views.of_caller(caller, shown))))

        await once_with_the_change(self._ledger, key, resp, work)
