"""Actions on tasks: cancel one or many, retry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import falcon.asgi
from sqlalchemy import Connection

from taskyard.domain.errors import Conflict, NotFound
from taskyard.domain.messages import Message, message
from taskyard.domain.tasks import FINAL, State
from taskyard.lifecycle.cancel import Cancellation, cancel_task
from taskyard.lifecycle.cancel_many import MOST_AT_ONCE, cancel_tasks
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.retry import retry_task
from taskyard.store import live_tasks
from taskyard.store.live_tasks import Wanted

from .. import answers, change_answers, views
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..change_models import CancelBody
from ..idempotency import key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES
from ..requests import Request
from ..translation import LANGUAGE, Translations, Words
from ..views import TaskViews
from .dead_letters import SAMPLE
from .tasks import task_id_of, task_seen


class TaskCancel:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="Cancel a task",
        scope=Scope.MANAGE,
        description="A waiting task is cancelled at once. A running task is asked to stop; if it does not, its process "
        "is ended. The tasks that it submitted are cancelled too, unless it was submitted with `on_cancel: "
        "leave_children`; where they are thousands, they follow within the next minutes. "
        "The timeline shows each step: requested, delivered, acknowledged or forced. Repeats get the "
        "same answer.",
        answers={202: Answer(description="Cancelled, or on the way to it.", model=answers.Cancelled, headers=LANGUAGE)},
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        wanted, words = task_id_of(task_id), self._translations.for_reader(req)
        caller, by = req.context.caller, req.actor()

        def work(conn: Connection) -> Committed[StoredAnswer]:
            task_seen(conn, wanted, caller)
            done = cancel_task(conn, wanted, by=by)
            if done.answer is None:
                raise NotFound(message("There is no such task."))
            before = done.answer.before
            if before in FINAL:
                raise Conflict(message("The task is {state} already.", state=before), state=before)
            status, told = _told(done.answer)
            shown = {"task_id": wanted, "status": status, "message": words.say(told)}
            return done.answering(StoredAnswer(202, words.headers(), views.encode(shown)))

        await once_with_the_change(self._ledger, key, resp, work)


def _told(found: Cancellation) -> tuple[str, Message]:
    """The status, and what it means."""
    if found.change.state is State.CANCELLED:
        return "CANCELLED", message("The task was cancelled.")
    if found.is_repeated:
        return "CANCELLING", message("The task had been asked to stop before, and still runs.")
    return "CANCELLING", message("The task was asked to stop.")


class TasksCancel:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, shown: TaskViews, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._shown = shown
        self._translations = translations

    @Operation(
        summary="Cancel many tasks",
        description=f"By their ids, or the oldest {MOST_AT_ONCE:,} that fit a filter, with what they submitted. What"
        " waits is cancelled at once, what runs is asked to stop. `has_more` says that others are left: call again, and"
        " with the first answer's `at` as `created_before`, or what is submitted meanwhile is cancelled, too.",
        scope=Scope.MANAGE,
        body=CancelBody,
        answers={
            202: Answer(
                description="How many matched, and how many were cancelled or asked to stop.",
                model=change_answers.HandledInPart,
                headers=LANGUAGE,
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        asked = validated(CancelBody, body.value)
        caller, by, words = req.context.caller, req.actor(), self._translations.for_reader(req)
        wanted = _wanted(asked, caller)

        def look(conn: Connection) -> Committed[StoredAnswer]:
            rows = live_tasks.sample(conn, wanted, limit=SAMPLE, most_bytes=PAGE_BYTES)
            sample = [self._shown.of_row(row, caller, words) for row in rows]
            matched = live_tasks.count(conn, wanted)
            told = {"matched": matched, "changed": 0, "has_more": matched > 0, "at": live_tasks.now(conn)}
            told |= {"sample": sample, **with_descendants(conn, wanted), **_skipped(conn, wanted)}
            return Committed(StoredAnswer(202, words.headers(), views.encode(told)))

        def change(conn: Connection) -> Committed[StoredAnswer]:
            matched = live_tasks.count(conn, wanted) if asked.count else None
            skipped = _skipped(conn, wanted)
            done = cancel_tasks(conn, wanted, by=by)
            changed = len(done.answer.ids)
            told = {
                "matched": changed if matched is None else matched,
                "changed": changed,
                "has_more": done.answer.has_more,
                "at": live_tasks.now(conn),
                **({} if wanted.ids is None else {"changed_ids": done.answer.ids}),
                **skipped,
            }
            return done.answering(StoredAnswer(202, {}, views.encode(told)))

        await once_with_the_change(self._ledger, key_of(req, body.raw), resp, look if asked.dry_run else change)


def with_descendants(conn: Connection, wanted: Wanted) -> dict[str, Any]:
    number, has_more = live_tasks.descendants(conn, wanted)
    return {"descendants": number, "has_more_descendants": has_more}


def _skipped(conn: Connection, wanted: Wanted) -> dict[str, Any]:
    """Of a filter nothing."""
    if wanted.ids is None:
        return {}
    missing = live_tasks.missing(conn, wanted).items()
    return {"skipped": [{"task_id": i, "reason": "unknown" if is_unknown else "ended"} for i, is_unknown in missing]}


def _wanted(asked: CancelBody, caller: Caller) -> Wanted:
    if asked.filter is None:
        return Wanted(ids=asked.ids, queues=caller.queues)
    given = asked.filter.model_dump()
    return Wanted(states=[State(name) for name in given.pop("state")], queues=caller.queues, **given)


class TaskRetry:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, shown: TaskViews, *, life: timedelta) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._shown = shown
        self._life = life

    @Operation(
        summary="Run a failed or cancelled task again",
        scope=Scope.MANAGE,
        description="Same id, fresh retry and crash budgets; the history is kept.",
        answers={202: Answer(description="Queued again.", model=answers.Task, without_read=answers.ToldTask)},
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, task_id: str) -> None:
        key = key_of(req, await self._bodies.read_nothing(req))
        wanted, caller, by = task_id_of(task_id), req.context.caller, req.actor()

        def work(conn: Connection) -> Committed[StoredAnswer]:
            task_seen(conn, wanted, caller)
            done = retry_task(conn, wanted, by=by, life=self._life)
            row = task_seen(conn, wanted, caller)
            if not done.answer:
                state = row["state"]
                raise Conflict(
                    message("Only failed and cancelled tasks are retried; this one is {state}.", state=state),
                    state=state,
                )
            # A queued task has no error, so the stored answer needs no reader's language.
            shown = self._shown.of_row(row, caller, Words())
            return done.answering(StoredAnswer(202, {}, views.encode(shown)))

        await once_with_the_change(self._ledger, key, resp, work)
