"""API keys: the caller's own; listed, made and revoked by an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection, RowMapping

from taskyard.admission.admit import unknown_queue
from taskyard.domain.api_keys import make_key
from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.store import api_keys
from taskyard.store.audit import Actor

from .. import key_changes, key_models, views
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..key_changes import LONGEST_LIFE, NewKey
from ..key_models import KeyBody
from ..ledger_pool import LedgerPool
from ..models import PageQuery
from ..operations import Answer, Operation
from ..parameters import id_in_path, next_cursor, query_of, read_cursor
from ..queues import KnownQueues
from ..refusals import Fault, Invalid, KeyNameTaken, QueueNotAllowed
from ..requests import Request

PATH = "/api/v1/keys"
_MISSING = message("There is no such key.")


class OwnKey:
    @Operation(
        summary="The key of this request",
        description="What it is called and what it allows. Every key may ask, whatever its scopes.",
        scope=None,
        any_key=True,
        answers={200: Answer(description="The key, without its secret.", model=key_models.OwnKey)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        caller = req.context.caller
        shown = {
            "id": caller.key_id,
            "name": caller.name,
            "scopes": sorted(caller.scopes),
            "queues": None if caller.queues is None else sorted(caller.queues),
            "expires_at": caller.expires_at,
        }
        views.send(resp, 200, shown)


class ApiKeys:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, queues: KnownQueues) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._queues = queues

    @Operation(
        summary="All keys, newest first",
        description="Without their secrets, those that were revoked or have expired too. A key that is restricted to"
        " queues sees those that are restricted to some of these.",
        scope=Scope.ADMIN,
        query=PageQuery,
        answers={200: Answer(description="A page of keys.", model=key_models.KeyPage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, within = query_of(PageQuery, req), req.context.caller.queues
        page = partial(api_keys.page, before=read_cursor(query.cursor), limit=query.limit + 1, within=within)
        rows = await self._ledger.run(page)
        items = [_shown(row) for row in rows[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": next_cursor(rows, query.limit)})

    @Operation(
        summary="Make a key",
        description="The answer has the key, this once. It takes no Idempotency-Key, because no answer with a key is"
        " kept: where the answer got lost, revoke the key and make another one. 409 `name_taken`: another key has the"
        " name, also one that was revoked. 403 `queue_not_allowed`: the key that makes it may not use this queue.",
        scope=Scope.ADMIN,
        body=KeyBody,
        answers={201: Answer(description="Made.", model=key_models.NewKey)},
        refusals=(409,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        asked, caller = validated(KeyBody, (await self._bodies.read(req)).value), req.context.caller
        new, key = await self._allowed(asked, caller), make_key()

        def make(conn: Connection) -> RowMapping | None:
            made = key_changes.make(conn, key, new, req.actor())
            return None if made is None else api_keys.by_id(conn, made)

        row = await self._ledger.run_transaction(make)
        if row is None:
            raise KeyNameTaken(message("There is a key with this name already."))
        views.send(resp, 201, {**_shown(row), "key": key.text})

    async def _allowed(self, asked: KeyBody, caller: Caller) -> NewKey:
        """What the caller may give. Raises Invalid, QueueNotAllowed."""
        faults: list[Fault] = []
        queues = asked.queues
        if queues is None:
            queues = None if caller.queues is None else sorted(caller.queues)
        else:
            for n, queue in enumerate(queues):
                if not caller.sees(queue):
                    raise QueueNotAllowed(
                        message("This key may not give rights in the queue {queue}.", queue=repr(queue))
                    )
                if not await self._queues.has(queue):
                    faults.append(Fault(f"/queues/{n}", unknown_queue(queue).message))
        expires_at, now = asked.expires_at or caller.expires_at, datetime.now(UTC)
        if expires_at is not None and not now < expires_at <= now + LONGEST_LIFE:
            told = message("Must be in the future, and {days} days ahead at most.", days=LONGEST_LIFE.days)
            faults.append(Fault("/expires_at", told))
        elif expires_at is not None and caller.expires_at is not None and expires_at > caller.expires_at:
            faults.append(Fault("/expires_at", message("Must not be later than the end of the key that makes it.")))
        if faults:
            raise Invalid(faults)
        scopes = [str(scope) for scope in dict.fromkeys(asked.scopes)]
        return NewKey(
            name=asked.name,
            scopes=scopes,
            queues=None if queues is None else list(dict.fromkeys(queues)),
            expires_at=expires_at,
        )


class Revoke:
    def __init__(self, bodies: Bodies, ledger: LedgerPool) -> None:
        self._bodies = bodies
        self._ledger = ledger

    @Operation(
        summary="Revoke a key",
        description="It is refused within five seconds. Tasks that it submitted go on. Repeats change nothing.",
        scope=Scope.ADMIN,
        answers={200: Answer(description="The key.", model=key_models.Key)},
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, key_id: str) -> None:
        await self._bodies.read_nothing(req)
        wanted, within = id_in_path(key_id, _MISSING), req.context.caller.queues
        row = await self._ledger.run_transaction(partial(_revoke, key_id=wanted, within=within, by=req.actor()))
        if row is None:
            raise NotFound(_MISSING)
        views.send(resp, 200, _shown(row))


def _revoke(conn: Connection, key_id: UUID, within: frozenset[str] | None, by: Actor) -> RowMapping | None:
    if api_keys.by_id(conn, key_id, within=within) is None:
        return None
    key_changes.revoke(conn, by, key_id=key_id)
    return api_keys.by_id(conn, key_id)


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    state = api_keys.state_of(row, datetime.now(UTC))
    return {name: state if name == "state" else row[name] for name in key_models.Key.model_fields}
