"""Selection runs: submitted, listed and read as records. Cancel and retry are calls of the run's task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.lifecycle.submit import SubmittedTask
from taskyard.store.selection_runs import Kind, Reader, run_by_id, runs_page

from .. import selection_run_models as models
from .. import views
from ..admission import Admitted
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES, id_in_path, next_cursor_of_tasks, query_of, read_cursor
from ..refusals import Fault, Invalid
from ..requests import Request
from ..submission import Accepted, Intake
from ..translation import LANGUAGE, Translations, Words
from .tasks import with_warnings

PATH = "/api/v1/selection-runs"
_PARAMS = "/params"
_MISSING = message("There is no such selection run.")


class Runs:
    """What of the runs a caller may see."""

    def __init__(self, ledger: LedgerPool, *, lease: timedelta) -> None:
        self.ledger = ledger
        self._lease = lease

    def reader(self, caller: Caller) -> Reader:
        return Reader(lease=self._lease, owner=caller.owner_seen, queues=caller.queues)


class SelectionRuns:
    def __init__(self, bodies: Bodies, intake: Intake, runs: Runs, translations: Translations) -> None:
        self._bodies = bodies
        self._intake = intake
        self._runs = runs
        self._translations = translations

    @Operation(
        summary="Start a selection run",
        description="`kind` says what runs. Beside it stand the parameters of its task type and the options of a"
        " submit. The run and its task have one id. 503 `type_not_registered`: no worker has brought the task type.",
        scope=Scope.SUBMIT,
        body=models.SelectionRunBody,
        answers={
            202: Answer(
                description="Accepted and durable.",
                model=models.AcceptedSelectionRun,
                without_read=models.ToldAcceptedSelectionRun,
                headers=("Location", "Content-Language"),
            )
        },
        refusals=(409,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        key = key_of(req, body.raw)

        async def validate() -> list[SubmitTask]:
            task = (await body.work(partial(validated, models.SelectionRunBody, body.value))).task
            await self._intake.require_type(task.name)
            return [task]

        try:
            await self._intake.take(
                req,
                resp,
                key,
                validate=validate,
                answer=partial(_accepted, req.context.caller),
                as_sent=[_as_task(body.value)],
                body=body,
            )
        except Invalid as e:
            raise Invalid([_as_written(fault) for fault in e.faults]) from None

    @Operation(
        summary="List selection runs, newest first",
        description="Every task of the three types is a run, however it was submitted. A record outlives its task.",
        scope=Scope.READ,
        query=models.SelectionRunsQuery,
        answers={200: Answer(description="A page of runs.", model=models.SelectionRunPage, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(models.SelectionRunsQuery, req), req.context.caller
        before = read_cursor(query.cursor)
        read = partial(
            runs_page,
            reader=self._runs.reader(caller),
            kind=query.kind,
            status=query.status,
            before=before,
            limit=query.limit + 1,
            most_bytes=PAGE_BYTES,
        )
        rows = await self._runs.ledger.run(read)
        words = self._translations.for_reader(req)
        items = [views.selection_run(row, caller, words) for row in rows[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": next_cursor_of_tasks(rows, query.limit)}, words)


class OneSelectionRun:
    def __init__(self, runs: Runs, translations: Translations) -> None:
        self._runs = runs
        self._translations = translations

    @Operation(
        summary="Read a selection run",
        scope=Scope.READ,
        answers={200: Answer(description="The record.", model=models.SelectionRun, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, run_id: str) -> None:
        caller, wanted = req.context.caller, _run_id(run_id)
        found = await self._runs.ledger.run(partial(run_by_id, run_id=wanted, reader=self._runs.reader(caller)))
        if found is None:
            raise NotFound(_MISSING)
        words = self._translations.for_reader(req)
        views.send(resp, 200, views.selection_run(found, caller, words), words)


def _run_id(text: str) -> UUID:
    """Raises NotFound."""
    return id_in_path(text, _MISSING)


def _as_task(value: Any) -> dict[str, Any]:
    """A refused body as the meters count it; it may be anything."""
    given = value if isinstance(value, dict) else {}
    kind = given.get("kind")
    return {**given, "name": f"selection.{kind}" if isinstance(kind, str) else None}


def _as_written(fault: Fault) -> Fault:
    """With the pointer into the body, where parameters stand beside the options."""
    is_inside = fault.pointer == _PARAMS or fault.pointer.startswith(f"{_PARAMS}/")
    return Fault(fault.pointer.removeprefix(_PARAMS), fault.message, fault.code) if is_inside else fault


def _accepted(caller: Caller, admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
    task = written[0]
    shown = views.new_selection_run(Kind.of(task.name), task, caller)
    return Accepted(with_warnings(shown, admitted, words), {"Location": f"{PATH}/{task.id}"})
