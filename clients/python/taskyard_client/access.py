"""`client.audit` and `client.webhook_endpoints`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import management_calls as calls
from .management_models import AuditEntry, WebhookEndpoint
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Audit:
    """For keys with the scope `admin` that are not restricted to queues."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, **filters: Any) -> Iterator[AuditEntry]:
        """Every change, newest first, by the filters of `GET /audit`: action, actor, target, after, before."""
        return each(self._api, partial(calls.audit, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[AuditEntry]:
        """One page of them; `limit` says how many."""
        return self._api.send(calls.audit(filters, cursor))


class WebhookEndpoints:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self) -> Iterator[WebhookEndpoint]:
        """All that the key may see, newest first."""
        return each(self._api, partial(calls.webhook_endpoints, {}))

    def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[WebhookEndpoint]:
        return self._api.send(calls.webhook_endpoints({"limit": limit}, cursor))

    def get(self, endpoint_id: UUID | str) -> WebhookEndpoint:
        return self._api.send(calls.webhook_endpoint(endpoint_id))

    def create(self, url: str, *, description: str = "") -> WebhookEndpoint:
        """The answer has `secret`, this once; so a call whose answer got lost is not repeated."""
        return self._api.send(calls.make_webhook_endpoint({"url": url, "description": description}))

    def delete(self, endpoint_id: UUID | str) -> None:
        self._api.send(calls.delete_webhook_endpoint(endpoint_id))

    def rotate(self, endpoint_id: UUID | str, *, grace_seconds: int | None = None) -> WebhookEndpoint:
        """Another secret, told this once. The one before signs as well for the grace time, a day unless given."""
        return self._api.send(calls.rotate_webhook_endpoint(endpoint_id, grace_seconds))

    def enable(self, endpoint_id: UUID | str) -> WebhookEndpoint:
        """Sends there again, after a 410 of its receiver had disabled it."""
        return self._api.send(calls.enable_webhook_endpoint(endpoint_id))


class AsyncAudit:
    """For keys with the scope `admin` that are not restricted to queues."""

    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, **filters: Any) -> AsyncIterator[AuditEntry]:
        """As `Audit.items`."""
        return each_async(self._api, partial(calls.audit, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[AuditEntry]:
        """As `Audit.page`."""
        return await self._api.send(calls.audit(filters, cursor))


class AsyncWebhookEndpoints:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self) -> AsyncIterator[WebhookEndpoint]:
        """As `WebhookEndpoints.items`."""
        return each_async(self._api, partial(calls.webhook_endpoints, {}))

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[WebhookEndpoint]:
        return await self._api.send(calls.webhook_endpoints({"limit": limit}, cursor))

    async def get(self, endpoint_id: UUID | str) -> WebhookEndpoint:
        return await self._api.send(calls.webhook_endpoint(endpoint_id))

    async def create(self, url: str, *, description: str = "") -> WebhookEndpoint:
        """As `WebhookEndpoints.create`."""
        return await self._api.send(calls.make_webhook_endpoint({"url": url, "description": description}))

    async def delete(self, endpoint_id: UUID | str) -> None:
        await self._api.send(calls.delete_webhook_endpoint(endpoint_id))

    async def rotate(self, endpoint_id: UUID | str, *, grace_seconds: int | None = None) -> WebhookEndpoint:
        """As `WebhookEndpoints.rotate`."""
        return await self._api.send(calls.rotate_webhook_endpoint(endpoint_id, grace_seconds))

    async def enable(self, endpoint_id: UUID | str) -> WebhookEndpoint:
        """As `WebhookEndpoints.enable`."""
        return await self._api.send(calls.enable_webhook_endpoint(endpoint_id))
