"""Failures in groups: by type, queue, error code and place in the code; solved, and back again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection, RowMapping

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.error_groups import reopen, solve
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.store import error_groups, statistics
from taskyard.store.error_groups import Filter, Position

from .. import statistics_models as models
from .. import views
from ..auth import Scope
from ..bodies import Bodies
from ..idempotency import key_of, once_with_the_change
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import cursor_at, id_in_path, query_of, read_cursor
from ..requests import Request
from ..translation import LANGUAGE, Translations, Words
from .statistics import series

Verb = Callable[..., Committed[None]]

_MISSING = message("There is no such group of errors.")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_CHANGED = {
    200: Answer(description="The group.", model=models.ErrorGroup, without_read=models.ToldErrorGroup, headers=LANGUAGE)
}


class Errors:
    def __init__(self, ledger: LedgerPool, translations: Translations) -> None:
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="Failures in groups, those that were seen last first",
        description="A group has one task type, queue, error code and place in the code. Each failed attempt counts.",
        scope=Scope.READ,
        query=models.ErrorsQuery,
        answers={200: Answer(description="A page of groups.", model=models.ErrorPage, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(models.ErrorsQuery, req), req.context.caller
        wanted, before = Filter(**query.filters(), queues=caller.queues), _position(read_cursor(query.cursor))
        window = query.window
        rows = await self._ledger.run(
            lambda conn: error_groups.page(conn, wanted, before=before, limit=query.limit + 1, window=window)
        )
        words = self._translations.for_reader(req)
        items = [
            {**_shown(row, words), "counts": None if window is None else error_groups.counts(row, window)}
            for row in rows[: query.limit]
        ]
        cursor = _cursor(rows[query.limit - 1]) if len(rows) > query.limit else None
        views.send(resp, 200, {"items": items, "next_cursor": cursor}, words)


class OneError:
    def __init__(self, ledger: LedgerPool, translations: Translations) -> None:
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="A group of failures, with its counts over time and its newest tasks",
        scope=Scope.READ,
        query=models.WindowQuery,
        answers={200: Answer(description="The group.", model=models.ErrorShown, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, group_id: str) -> None:
        window, caller = query_of(models.WindowQuery, req).window, req.context.caller
        wanted = id_in_path(group_id, _MISSING)

        def read(conn: Connection) -> tuple[RowMapping, list[RowMapping], list[RowMapping]]:
            group = _found(conn, wanted, caller.queues)
            return group, error_groups.points(conn, wanted, window), error_groups.tasks(conn, group)

        group, counted, tasks = await self._ledger.run(read)
        words = self._translations.for_reader(req)
        failures = {row["at"]: row["failures"] for row in counted}
        begins = statistics.begins(counted[0]["since"], window)
        shown = {
            **_shown(group, words),
            **series(counted[0], window),
            "points": [{"at": at, "failures": failures.get(at, 0)} for at in begins],
            "tasks": [dict(task) for task in tasks],
        }
        views.send(resp, 200, shown, words)


class Marking:
    """What solving and reopening share."""

    def __init__(self, bodies: Bodies, ledger: LedgerPool, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._translations = translations

    async def mark(self, req: Request, resp: falcon.asgi.Response, group_id: str, verb: Verb) -> None:
        """Raises NotFound."""
        key = key_of(req, await self._bodies.read_nothing(req))
        wanted, caller, by = id_in_path(group_id, _MISSING), req.context.caller, req.actor()
        words = self._translations.for_reader(req)

        def work(conn: Connection) -> Committed[StoredAnswer]:
            _found(conn, wanted, caller.queues)
            done = verb(conn, wanted, by=by)
            shown = _shown(_found(conn, wanted, caller.queues), words)
            told = views.told(caller, shown, models.ToldErrorGroup)
            return done.answering(StoredAnswer(200, dict(words.headers()), views.encode(told)))

        await once_with_the_change(self._ledger, key, resp, work)


class Solve:
    def __init__(self, marking: Marking) -> None:
        self._marking = marking

    @Operation(
        summary="Mark a group of failures as solved",
        description="A failure that ends later brings it back: `returned`, until it is solved again or reopened.",
        scope=Scope.MANAGE,
        answers=_CHANGED,
        refusals=(404,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, group_id: str) -> None:
        await self._marking.mark(req, resp, group_id, solve)


class Reopen:
    def __init__(self, marking: Marking) -> None:
        self._marking = marking

    @Operation(
        summary="Take back that a group of failures is solved",
        scope=Scope.MANAGE,
        answers=_CHANGED,
        refusals=(404,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, group_id: str) -> None:
        await self._marking.mark(req, resp, group_id, reopen)


def _found(conn: Connection, group_id: UUID, queues: Any) -> RowMapping:
    group = error_groups.one(conn, group_id, queues=queues)
    if group is None:
        raise NotFound(_MISSING)
    return group


def _shown(row: Mapping[Any, Any], words: Words) -> dict[str, Any]:
    error = None if row["error"] is None else words.failure(row["error"], views.type_of(row))
    made = {
        "place": row["place"] or None,
        "state": error_groups.state_of(row),  # type: ignore[arg-type]
        "message": None if error is None else error.get("message"),
        "last_task_id": row["task_ids"][0],
    }
    return {name: made[name] if name in made else row[name] for name in models.ErrorGroup.model_fields}


def _cursor(row: Mapping[Any, Any]) -> str:
    """The time when the group was seen last, and the begin of its id: a group that is seen again meanwhile moves to the
    front, and must not take the reader along."""
    microseconds = (row["last_seen_at"] - _EPOCH) // timedelta(microseconds=1)
    return cursor_at(UUID(bytes=microseconds.to_bytes(8) + row["id"].bytes[:8]))


def _position(cursor: UUID | None) -> Position | None:
    if cursor is None:
        return None
    # A cursor that was made up may lie beyond what a datetime holds: it is before the first page.
    microseconds = min(int.from_bytes(cursor.bytes[:8]), _LATEST)
    return Position(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=cursor.bytes[8:] + bytes(8)))
