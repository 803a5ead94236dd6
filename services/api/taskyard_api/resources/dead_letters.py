"""Dead letters: list, retry, discard, restore. A dead letter is a task: `/tasks/{id}` shows its error,
`/tasks/{id}/events` its attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import falcon.asgi
from sqlalchemy import Connection

from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.replay import (
    Handled,
    discard_dead_letters,
    replay_cancelled,
    replay_dead_letters,
    restore_dead_letters,
)
from taskyard.store import dead_letters
from taskyard.store.audit import Actor
from taskyard.store.dead_letters import Wanted

from .. import answers, change_answers, views
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..models import DeadLetterGroupsQuery, DeadLettersBody, DeadLettersQuery, RestoreBody, RetryBody
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES, next_cursor_of_tasks, query_of, read_cursor
from ..requests import Request
from ..translation import LANGUAGE, Translations
from ..views import TaskViews

SAMPLE = 10

Verb = Callable[[Connection, Wanted, Actor], Committed[Handled]]


class DeadLetters:
    def __init__(self, ledger: LedgerPool, shown: TaskViews, translations: Translations) -> None:
        self._ledger = ledger
        self._shown = shown
        self._translations = translations

    @Operation(
        summary="Failed tasks that were neither retried nor discarded, newest first; or those that were discarded",
        scope=Scope.READ,
        query=DeadLettersQuery,
        answers={200: Answer(description="A page of tasks.", model=answers.TaskPage, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(DeadLettersQuery, req), req.context.caller
        wanted = Wanted(**query.filters(), queues=caller.queues)
        before = read_cursor(query.cursor)
        page = partial(dead_letters.page, wanted=wanted, before=before, limit=query.limit + 1, most_bytes=PAGE_BYTES)
        rows = await self._ledger.run(page)
        words = self._translations.for_reader(req)
        items = [self._shown.of_row(row, caller, words) for row in rows[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": next_cursor_of_tasks(rows, query.limit)}, words)


class Groups:
    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    @Operation(
        summary="Dead letters, counted by task type and error code",
        description="The newest 10,000 that fit: where many failed, the counts say in which proportion.",
        scope=Scope.READ,
        query=DeadLetterGroupsQuery,
        answers={200: Answer(description="The groups, the largest first.", model=answers.DeadLetterGroups)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query = query_of(DeadLetterGroupsQuery, req)
        wanted = Wanted(**query.model_dump(), queues=req.context.caller.queues)
        rows = await self._ledger.run(partial(dead_letters.groups, wanted=wanted))
        grouped = rows[0]["grouped"] if rows else 0
        has_more = grouped == dead_letters.MOST_GROUPED or bool(rows and rows[0]["group_count"] > len(rows))
        items = [{name: row[name] for name in answers.DeadLetterGroup.model_fields} for row in rows]
        views.send(resp, 200, {"items": items, "grouped": grouped, "has_more": has_more})


class Handling:
    """What the changes share: ids or a filter, a dry run or the change."""

    def __init__(self, bodies: Bodies, ledger: LedgerPool, shown: TaskViews, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._shown = shown
        self._translations = translations

    async def handle(
        self, req: Request, resp: falcon.asgi.Response, verb: Verb, model: type[DeadLettersBody] = DeadLettersBody
    ) -> None:
        body = await self._bodies.read(req)
        asked = validated(model, body.value)
        caller, actor = req.context.caller, req.actor()
        wanted, words = _wanted(asked, caller), self._translations.for_reader(req)

        def look(conn: Connection) -> Committed[StoredAnswer]:
            sample = dead_letters.page(conn, wanted, limit=SAMPLE, oldest_first=True, most_bytes=PAGE_BYTES)
            matched = dead_letters.count(conn, wanted)
            shown = [self._shown.of_row(row, caller, words) for row in sample]
            return Committed(_answer({"matched": matched, "changed": 0, "sample": shown}, words.headers()))

        def change(conn: Connection) -> Committed[StoredAnswer]:
            done = verb(conn, wanted, actor)
            told: dict[str, object] = {"matched": done.answer.matched, "changed": len(done.answer.changed)}
            if asked.ids:
                told["changed_ids"] = done.answer.changed
            return done.answering(_answer(told))

        await once_with_the_change(self._ledger, key_of(req, body.raw), resp, look if asked.dry_run else change)


class Retry:
    def __init__(self, handling: Handling, *, life: timedelta, per_second: float) -> None:
        self._handling = handling
        self._life = life
        self._per_second = per_second

    @Operation(
        summary="Run dead letters again, one after the other",
        scope=Scope.MANAGE,
        description="By their ids, or the oldest 1,000 that fit a filter. They become `scheduled`, so many a second"
        " as the platform is set to (50), behind replays that still wait; budgets are fresh, the history is kept."
        " With `cancelled`, cancelled tasks run again so.",
        body=RetryBody,
        answers={
            202: Answer(
                description="How many matched, and how many will run.", model=change_answers.Handled, headers=LANGUAGE
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        await self._handling.handle(req, resp, self._replay, RetryBody)

    def _replay(self, conn: Connection, wanted: Wanted, by: Actor) -> Committed[Handled]:
        replay = replay_cancelled if wanted.cancelled else replay_dead_letters
        return replay(conn, wanted, by=by, life=self._life, per_second=self._per_second)


class Discard:
    def __init__(self, handling: Handling) -> None:
        self._handling = handling

    @Operation(
        summary="Put dead letters away",
        scope=Scope.MANAGE,
        description="By their ids, or the oldest 1,000 that fit a filter. They stay failed tasks, with `discarded_at`;"
        " each can still be retried by its own address.",
        body=DeadLettersBody,
        answers={
            202: Answer(
                description="How many matched, and how many were put away.",
                model=change_answers.Handled,
                headers=LANGUAGE,
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        await self._handling.handle(req, resp, lambda conn, wanted, by: discard_dead_letters(conn, wanted, by=by))


class Restore:
    def __init__(self, handling: Handling) -> None:
        self._handling = handling

    @Operation(
        summary="Take discarding back",
        scope=Scope.MANAGE,
        description="By their ids, or the oldest 1,000 discarded ones that fit a filter. They are dead letters again;"
        " those that were erased with a person stay as they are.",
        body=RestoreBody,
        answers={
            202: Answer(
                description="How many matched, and how many are dead letters again.",
                model=change_answers.Handled,
                headers=LANGUAGE,
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        await self._handling.handle(
            req, resp, lambda conn, wanted, by: restore_dead_letters(conn, wanted, by=by), RestoreBody
        )


def _wanted(asked: DeadLettersBody, caller: Caller) -> Wanted:
    discarded = isinstance(asked, RestoreBody)
    cancelled = isinstance(asked, RetryBody) and asked.cancelled
    if "ids" in asked.model_fields_set:
        return Wanted(
            ids=asked.ids, discarded=discarded, cancelled=cancelled, is_no_step=cancelled, queues=caller.queues
        )
    return Wanted(**asked.filter.model_dump(), discarded=discarded, queues=caller.queues)


def _answer(body: dict[str, object], headers: dict[str, str] | None = None) -> StoredAnswer:
    return StoredAnswer(202, headers or {}, views.encode(body))
