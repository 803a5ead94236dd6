"""Dead letters: list, retry, discard. A dead letter is a task: `/tasks/{id}` shows its error, `/tasks/{id}/events` its
attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import falcon.asgi
from sqlalchemy import Connection

from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.replay import Handled, discard_dead_letters, replay_dead_letters
from taskyard.store import dead_letters
from taskyard.store.audit import Actor
from taskyard.store.dead_letters import Wanted

from .. import answers, views
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..models import DeadLettersBody, DeadLettersQuery
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
        summary="Failed tasks that were neither retried nor discarded, newest first",
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


class Handling:
    """What retrying and discarding share: ids or a filter, a dry run or the change."""

    def __init__(self, bodies: Bodies, ledger: LedgerPool, shown: TaskViews, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._shown = shown
        self._translations = translations

    async def handle(self, req: Request, resp: falcon.asgi.Response, verb: Verb) -> None:
        body = await self._bodies.read(req)
        asked = validated(DeadLettersBody, body.value)
        caller, actor = req.context.caller, req.actor()
        wanted, words = _wanted(asked, caller), self._translations.for_reader(req)

        def look(conn: Connection) -> Committed[StoredAnswer]:
            sample = dead_letters.page(conn, wanted, limit=SAMPLE, oldest_first=True, most_bytes=PAGE_BYTES)
            matched = dead_letters.count(conn, wanted)
            shown = [self._shown.of_row(row, caller, words) for row in sample]
            return Committed(_answer({"matched": matched, "changed": 0, "sample": shown}, words.headers()))

        def change(conn: Connection) -> Committed[StoredAnswer]:
            done = verb(conn, wanted, actor)
            return done.answering(_answer({"matched": done.answer.matched, "changed": len(done.answer.changed)}))

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
        " as the platform is set to (50), behind replays that still wait; budgets are fresh, the history is kept.",
        body=DeadLettersBody,
        answers={
            202: Answer(description="How many matched, and how many will run.", model=answers.Handled, headers=LANGUAGE)
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        await self._handling.handle(req, resp, self._replay)

    def _replay(self, conn: Connection, wanted: Wanted, by: Actor) -> Committed[Handled]:
        return replay_dead_letters(conn, wanted, by=by, life=self._life, per_second=self._per_second)


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
                description="How many matched, and how many were put away.", model=answers.Handled, headers=LANGUAGE
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        await self._handling.handle(req, resp, lambda conn, wanted, by: discard_dead_letters(conn, wanted, by=by))


def _wanted(asked: DeadLettersBody, caller: Caller) -> Wanted:
    if "ids" in asked.model_fields_set:
        return Wanted(ids=asked.ids, queues=caller.queues)
    return Wanted(**asked.filter.model_dump(), queues=caller.queues)


def _answer(body: dict[str, object], headers: dict[str, str] | None = None) -> StoredAnswer:
    return StoredAnswer(202, headers or {}, views.encode(body))
