"""`client.keys`: see, make and revoke API keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from . import management_calls as calls
from .management_models import Key
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Keys:
    """For keys with the scope `admin`."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self) -> Iterator[Key]:
        """All that the key may see, newest first, with those that are not valid any more."""
        return each(self._api, partial(calls.keys, {}))

    def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Key]:
        return self._api.send(calls.keys({"limit": limit}, cursor))

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        queues: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> Key:
        """The answer has `key`, this once; so a call whose answer got lost is not repeated. Raises Conflict where the
        name is taken."""
        return self._api.send(calls.make_key(name, scopes, queues, expires_at))

    def revoke(self, key_id: UUID | str) -> Key:
        """It is refused within five seconds."""
        return self._api.send(calls.revoke_key(key_id))


class AsyncKeys:
    """For keys with the scope `admin`."""

    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self) -> AsyncIterator[Key]:
        """As `Keys.items`."""
        return each_async(self._api, partial(calls.keys, {}))

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Key]:
        return await self._api.send(calls.keys({"limit": limit}, cursor))

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        queues: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> Key:
        """As `Keys.create`."""
        return await self._api.send(calls.make_key(name, scopes, queues, expires_at))

    async def revoke(self, key_id: UUID | str) -> Key:
        """As `Keys.revoke`."""
        return await self._api.send(calls.revoke_key(key_id))
