"""Webhook endpoints: registered receivers, and the secrets that sign what they get."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection

from taskyard.catalogue.secrets import Cipher
from taskyard.domain.errors import NotFound
from taskyard.domain.ids import new_id
from taskyard.domain.messages import message, message_of
from taskyard.outbound.signing import make_secret
from taskyard.store import audit, webhook_endpoints
from taskyard.store.audit import Action, Actor
from taskyard.store.webhook_endpoints import WebhookEndpoint

from .. import views, webhook_answers
from ..auth import Scope
from ..bodies import Bodies, validated
from ..callbacks import Callbacks
from ..ledger_pool import LedgerPool
from ..models import PageQuery, RotateQuery, WebhookEndpointBody
from ..operations import Answer, Operation
from ..parameters import cursor_at, id_in_path, query_of, read_cursor
from ..refusals import Fault, Invalid
from ..requests import Request

PATH = "/api/v1/webhook-endpoints"
_MISSING = message("There is no such endpoint.")

# A change of one endpoint: None where there is none.
Change = Callable[[Connection], WebhookEndpoint | None]


class Endpoints:
    """What the calls share: changes with their audit row, and what is shown of an endpoint."""

    def __init__(self, ledger: LedgerPool, cipher: Cipher) -> None:
        self.ledger = ledger
        self._cipher = cipher

    def new_secret(self) -> tuple[str, dict[str, str]]:
        """A secret, and the same sealed. Raises SecretsUnreadable where there is no key."""
        secret = make_secret()
        return secret, self._cipher.seal(secret)

    async def change(self, by: Actor, action: Action, change: Change, **details: Any) -> WebhookEndpoint:
        """Raises NotFound."""

        def audited(conn: Connection) -> WebhookEndpoint | None:
            found = change(conn)
            if found is not None:
                audit.record(conn, by, action, found.id, url=found.url, **details)
            return found

        found = await self.ledger.run_transaction(audited)
        if found is None:
            raise NotFound(_MISSING)
        return found


def _shown(found: WebhookEndpoint, **more: Any) -> dict[str, Any]:
    return {**{name: getattr(found, name) for name in webhook_answers.WebhookEndpoint.model_fields}, **more}


def _id(text: str) -> UUID:
    return id_in_path(text, _MISSING)


class WebhookEndpoints:
    def __init__(self, bodies: Bodies, endpoints: Endpoints, callbacks: Callbacks) -> None:
        self._bodies = bodies
        self._endpoints = endpoints
        self._callbacks = callbacks

    @Operation(
        summary="Register a receiver of webhooks",
        description="The answer has the secret that signs what is sent there (Standard Webhooks), this once.",
        scope=Scope.MANAGE,
        body=WebhookEndpointBody,
        answers={
            201: Answer(description="Registered.", model=webhook_answers.NewWebhookEndpoint, headers=("Location",))
        },
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        given = validated(WebhookEndpointBody, body.value)
        secret, sealed = self._endpoints.new_secret()
        new = WebhookEndpoint(
            id=new_id(),
            url=self._address(given.url),
            description=given.description,
            submitted_by=req.context.caller.name,
            secret=sealed,
        )
        insert = partial(webhook_endpoints.insert, new=new)
        made = await self._endpoints.change(req.actor(), Action.WEBHOOK_ENDPOINT_CREATE, insert)
        views.send(resp, 201, _shown(made, secret=secret))
        resp.set_header("Location", f"{PATH}/{made.id}")

    def _address(self, text: str) -> str:
        try:
            url = self._callbacks.checked(text)
            if "?" in url.target:
                raise ValueError(message("Must have no query: callback_url may have one."))
        except ValueError as e:
            raise Invalid([Fault("/url", message_of(e))]) from None
        return str(url)

    @Operation(
        summary="List endpoints, newest first",
        scope=Scope.MANAGE,
        query=PageQuery,
        answers={200: Answer(description="A page of endpoints.", model=webhook_answers.WebhookEndpointPage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query = query_of(PageQuery, req)
        before, owner = read_cursor(query.cursor), req.context.caller.owner_seen
        page = partial(webhook_endpoints.page, limit=query.limit + 1, before=before, owner=owner)
        found = await self._endpoints.ledger.run(page)
        items = found[: query.limit]
        more = cursor_at(items[-1].id) if len(found) > query.limit else None
        views.send(resp, 200, {"items": [_shown(item) for item in items], "next_cursor": more})


class OneWebhookEndpoint:
    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    @Operation(
        summary="Read an endpoint",
        scope=Scope.MANAGE,
        answers={200: Answer(description="The endpoint.", model=webhook_answers.WebhookEndpoint)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, endpoint_id: str) -> None:
        read = partial(webhook_endpoints.get, endpoint_id=_id(endpoint_id), owner=req.context.caller.owner_seen)
        found = await self._endpoints.ledger.run(read)
        if found is None:
            raise NotFound(_MISSING)
        views.send(resp, 200, _shown(found))

    @Operation(
        summary="Remove an endpoint",
        description="What still waits to be sent there is not sent.",
        scope=Scope.MANAGE,
        answers={204: Answer(description="Gone.")},
        refusals=(404,),
    )
    async def on_delete(self, req: Request, resp: falcon.asgi.Response, endpoint_id: str) -> None:
        delete = partial(webhook_endpoints.delete, endpoint_id=_id(endpoint_id), owner=req.context.caller.owner_seen)
        await self._endpoints.change(req.actor(), Action.WEBHOOK_ENDPOINT_DELETE, delete)
        resp.status = 204


class Rotate:
    def __init__(self, bodies: Bodies, endpoints: Endpoints) -> None:
        self._bodies = bodies
        self._endpoints = endpoints

    @Operation(
        summary="Give an endpoint another secret",
        description="The answer has the new secret, this once. The one before signs as well for the grace time: each"
        " message then has two signatures, and a receiver that knows either of the secrets takes it. A second rotation"
        " within that time withdraws it.",
        scope=Scope.MANAGE,
        query=RotateQuery,
        answers={
            200: Answer(description="The endpoint with its new secret.", model=webhook_answers.NewWebhookEndpoint)
        },
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, endpoint_id: str) -> None:
        await self._bodies.read_nothing(req)
        grace = timedelta(seconds=query_of(RotateQuery, req).grace_seconds)
        secret, sealed = self._endpoints.new_secret()
        rotate = partial(
            webhook_endpoints.rotate,
            endpoint_id=_id(endpoint_id),
            secret=sealed,
            grace=grace,
            owner=req.context.caller.owner_seen,
        )
        details = {"grace_seconds": grace.total_seconds()}
        found = await self._endpoints.change(req.actor(), Action.WEBHOOK_ENDPOINT_ROTATE, rotate, **details)
        views.send(resp, 200, _shown(found, secret=secret))


class Enable:
    def __init__(self, bodies: Bodies, endpoints: Endpoints) -> None:
        self._bodies = bodies
        self._endpoints = endpoints

    @Operation(
        summary="Send to an endpoint again",
        description="A receiver that answers 410 disables its endpoint. What was due meanwhile is not sent later.",
        scope=Scope.MANAGE,
        answers={200: Answer(description="The endpoint.", model=webhook_answers.WebhookEndpoint)},
        refusals=(404,),
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, endpoint_id: str) -> None:
        await self._bodies.read_nothing(req)
        enable = partial(webhook_endpoints.enable, endpoint_id=_id(endpoint_id), owner=req.context.caller.owner_seen)
        views.send(resp, 200, _shown(await self._endpoints.change(req.actor(), Action.WEBHOOK_ENDPOINT_ENABLE, enable)))
