"""Tasks: submit, list, read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection, RowMapping

from taskyard.admission.bodies import MAX_TASKS, SubmitTask
from taskyard.domain.errors import Conflict, NotFound
from taskyard.domain.messages import message
from taskyard.domain.tasks import FINAL, State
from taskyard.lifecycle.change import Changes, change_task
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.submit import SubmittedTask
from taskyard.store import live_tasks
from taskyard.store.reads import TaskFilter, longest_running, task_by_id, tasks_page

from .. import answers, views
from ..admission import Admission, Admitted
from ..auth import Caller, Scope
from ..bodies import MAX_BATCH_BODY, Bodies, each_validated, validated
from ..change_models import ChangeTask
from ..idempotency import key_of
from ..ledger_pool import LedgerPool
from ..live import Live
from ..models import BatchFrame, SubmitBatch, TaskQuery, TasksQuery
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES, id_in_path, next_cursor_of_tasks, query_of, read_cursor
from ..requests import Request
from ..submission import Accepted, Intake
from ..translation import LANGUAGE, Translations, Words
from ..views import TaskViews

PATH = "/api/v1/tasks"

_OF_TYPES = (
    "Types are those that workers have registered. 503 `no_task_types`: none has registered yet, come again."
    " 422 `unknown_task_type`: no worker has registered this one."
    " 422 `queue_not_served`: live workers run the type, but not on the queue that the task names."
    " 202 with the warning `no_live_worker`: accepted, and waits for a worker."
)


def task_id_of(text: str) -> UUID:
    """Raises NotFound."""
    return id_in_path(text, message("There is no such task."))


def task_seen(conn: Connection, task_id: UUID, caller: Caller) -> RowMapping:
    """The task, where it exists and the caller may see it. Raises NotFound."""
    row = task_by_id(conn, task_id, queues=caller.queues)
    if row is None:
        raise NotFound(message("There is no such task."))
    return row


async def visible_task(ledger: LedgerPool, task_id: UUID, caller: Caller) -> RowMapping:
    """The same, in a call of its own."""
    return await ledger.run(partial(task_seen, task_id=task_id, caller=caller))


class Tasks:
    def __init__(
        self, bodies: Bodies, intake: Intake, ledger: LedgerPool, shown: TaskViews, translations: Translations
    ) -> None:
        self._bodies = bodies
        self._intake = intake
        self._ledger = ledger
        self._shown = shown
        self._translations = translations

    @Operation(
        summary="Submit a task",
        description=_OF_TYPES,
        scope=Scope.SUBMIT,
        body=SubmitTask,
        answers={
            202: Answer(
                description="Accepted and durable.",
                model=answers.AcceptedTask,
                without_read=answers.ToldAcceptedTask,
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
            return [validated(SubmitTask, body.value)]

        await self._intake.take(
            req,
            resp,
            key,
            validate=validate,
            answer=partial(self._answer, req.context.caller),
            as_sent=[body.value],
            body=body,
        )

    @Operation(
        summary="List tasks, newest first, or by how long they have run or waited",
        scope=Scope.READ,
        query=TasksQuery,
        answers={200: Answer(description="A page of tasks.", model=answers.TaskPage, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(TasksQuery, req), req.context.caller
        filters = query.filters()
        running = [State.RUNNING] if query.worker_id else []
        states = tuple(dict.fromkeys(filters.pop("state") or running))
        order = filters.pop("order")
        at = read_cursor(query.cursor)
        page: dict[str, Any] = {"limit": query.limit + 1, "most_bytes": PAGE_BYTES}
        if order == "waiting_longest":
            waiting = live_tasks.Wanted(**_of_live(filters), states=[State.QUEUED], queues=caller.queues, behind=at)
            rows = await self._ledger.run(partial(live_tasks.sample, wanted=waiting, **page))
        else:
            wanted = TaskFilter(**filters, states=states, queues=caller.queues)
            read = partial(tasks_page, before=at) if order == "created" else partial(longest_running, after=at)
            rows = await self._ledger.run(partial(read, wanted=wanted, **page))
        words = self._translations.for_reader(req)
        items = [self._shown.of_row(row, caller, words) for row in rows[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": next_cursor_of_tasks(rows, query.limit)}, words)

    def _answer(self, caller: Caller, admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
        task = admitted.tasks[0]
        shown = self._shown.of_new(task, written[0], caller)
        return Accepted(with_warnings(shown, admitted, words), {"Location": f"{PATH}/{task.id}"})


def _of_live(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if name not in {"parent_id", "schedule_id", "worker_id"}}


class TaskBatch:
    def __init__(self, bodies: Bodies, intake: Intake) -> None:
        self._bodies = bodies
        self._intake = intake

    @Operation(
        summary="Submit up to 1,000 tasks: all of them or none",
        description=_OF_TYPES,
        scope=Scope.SUBMIT,
        body=SubmitBatch,
        answers={
            202: Answer(description="All accepted and durable.", model=answers.Batch, headers=("Content-Language",))
        },
        refusals=(409,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req, limit=MAX_BATCH_BODY)
        key = await body.work(partial(key_of, req, body.raw))

        async def validate() -> list[SubmitTask]:
            return await body.work(partial(_tasks_of, body.value))

        await self._intake.take(
            req,
            resp,
            key,
            validate=validate,
            answer=_batch_answer,
            as_sent=_entries(body.value),
            body=body,
            in_batch=True,
        )


def _tasks_of(value: Any) -> list[SubmitTask]:
    return each_validated(SubmitTask, validated(BatchFrame, value).tasks, "/tasks")


def _entries(value: Any) -> list[Any]:
    """The entries of a refused batch, as far as they can be made out; it may be anything."""
    entries = value.get("tasks") if isinstance(value, dict) else None
    return entries[:MAX_TASKS] if isinstance(entries, list) and entries else [None]


def _batch_answer(admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
    items = [{"id": task.id, "name": task.name, "state": task.state} for task in written]
    return Accepted(with_warnings({"items": items}, admitted, words), {})


def with_warnings(shown: dict[str, Any], admitted: Admitted, words: Words) -> dict[str, Any]:
    if admitted.warnings:
        shown["warnings"] = [{"code": w.code, "message": words.say(w.message)} for w in admitted.warnings]
    return shown


class OneTask:
    def __init__(
        self,
        bodies: Bodies,
        admission: Admission,
        ledger: LedgerPool,
        live: Live,
        shown: TaskViews,
        translations: Translations,
        *,
        life: timedelta,
    ) -> None:
        self._life = life
        self._bodies = bodies
        self._admission = admission
        self._ledger = ledger
        self._live = live
        self._shown = shown
        self._translations = translations

    @Operation(
        summary="Read a task; with `wait`, when it is final or the time is over",
        scope=Scope.READ,
        query=TaskQuery,
        answers={200: Answer(description="The task.", model=answers.Task, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        wait, caller = query_of(TaskQuery, req).wait, req.context.caller
        row = await visible_task(self._ledger, task_id_of(task_id), caller)
        if wait > 0 and row["state"] not in FINAL:
            row = await self._when_final(row["id"], wait, caller)
        words = self._translations.for_reader(req)
        views.send(resp, 200, self._shown.of_row(row, caller, words), words)

    @Operation(
        summary="Change a task that waits",
        description="Its queue, time, expiry or tags. With another queue it goes to the end of that one; with a later"
        " `run_at` it is `scheduled`, with one that has passed `queued`; an expiry before that moves along. A step of a"
        " workflow that waits for its needs is due at `run_at` once they are met.",
        scope=Scope.MANAGE,
        body=ChangeTask,
        answers={
            200: Answer(description="The task.", model=answers.Task, without_read=answers.ToldTask, headers=LANGUAGE)
        },
        refusals=(404, 409),
    )
    async def on_patch(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        wanted = validated(ChangeTask, (await self._bodies.read(req)).value)
        caller = req.context.caller
        row = await visible_task(self._ledger, task_id_of(task_id), caller)
        await self._admission.check_change(wanted, row, caller)
        changes = Changes(**wanted.model_dump())
        wanted_id, by = row["id"], req.actor()

        def change(conn: Connection) -> Committed[RowMapping]:
            done = change_task(conn, wanted_id, changes, by=by, life=self._life)
            now = task_seen(conn, wanted_id, caller)
            if not done.answer:
                raise Conflict(
                    message("Only tasks that wait are changed; this one is {state}.", state=now["state"]),
                    state=now["state"],
                )
            return done.answering(now)

        row = await self._ledger.commit(change)
        words = self._translations.for_reader(req)
        views.send(resp, 200, self._shown.of_row(row, caller, words), words)

    async def _when_final(self, task_id: UUID, seconds: float, caller: Caller) -> RowMapping:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        with self._live.watch(task_id) as watch:
            # The task may have changed between the first look and the watch.
            row = await visible_task(self._ledger, task_id, caller)
            while row["state"] not in FINAL and not watch.closed:
                left = deadline - loop.time()
                if left <= 0:
                    break
                if not await watch.changed(left) or watch.is_final:
                    row = await visible_task(self._ledger, task_id, caller)
        return row
