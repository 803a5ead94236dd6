"""`client.files`: tree items, the files that tasks read and write."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from . import calls
from .errors import ApiAway, ApiRefused
from .models import Item
from .transfers import Download, Source, Target, Upload, written

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection

_ANY = "application/octet-stream"


class Files:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def upload(
        self, source: Source, *, name: str | None = None, content_type: str = _ANY, idempotency_key: str | None = None
    ) -> Item:
        """Stores a path's file, bytes, or an open binary file from where it stands. Repeated where the source can be
        read again, and then kept once."""
        body = Upload(source)
        call = calls.upload(body, name or body.name or "file", content_type, idempotency_key)
        return self._api.send(call)

    def download(self, item_id: UUID | str, to: Target) -> Item:
        """Writes the content to a path or an open binary file, going on where a connection broke, and compares its
        SHA-256. A path has the file only once it is complete."""
        item = self.item(item_id)
        with written(to) as file:
            self._fetch(Download(item, file), item)
        return item

    def read(self, item_id: UUID | str) -> bytes:
        """The content, in memory."""
        item, file = self.item(item_id), io.BytesIO()
        self._fetch(Download(item, file), item)
        return file.getvalue()

    def item(self, item_id: UUID | str) -> Item:
        return self._api.send(calls.item(item_id))

    def items(self) -> Iterator[Item]:
        """All of them, newest first."""
        cursor: str | None = None
        while True:
            page = self._api.send(calls.items(cursor))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def delete(self, item_id: UUID | str) -> None:
        self._api.send(calls.delete_item(item_id))

    def _fetch(self, download: Download, item: Item) -> None:
        attempts, done = self._api.attempts(calls.TRANSFER_SECONDS), 0
        while True:
            try:
                self._api.fetch(calls.content_path(item.item_id), download)
                if download.is_complete:
                    return download.check()
                raise ApiAway("The API ended its answer early.")
            except (ApiAway, ApiRefused) as e:  # noqa: PERF203 - each is an attempt
                if download.done > done:
                    attempts, done = self._api.attempts(calls.TRANSFER_SECONDS), download.done
                self._api.sleep(attempts.pause_after(e, is_safe=True))


class AsyncFiles:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def upload(
        self, source: Source, *, name: str | None = None, content_type: str = _ANY, idempotency_key: str | None = None
    ) -> Item:
        """As `Files.upload`."""
        body = Upload(source)
        call = calls.upload(body, name or body.name or "file", content_type, idempotency_key)
        return await self._api.send(call)

    async def download(self, item_id: UUID | str, to: Target) -> Item:
        """As `Files.download`."""
        item = await self.item(item_id)
        with written(to) as file:
            await self._fetch(Download(item, file), item)
        return item

    async def read(self, item_id: UUID | str) -> bytes:
        """The content, in memory."""
        item, file = await self.item(item_id), io.BytesIO()
        await self._fetch(Download(item, file), item)
        return file.getvalue()

    async def item(self, item_id: UUID | str) -> Item:
        return await self._api.send(calls.item(item_id))

    async def items(self) -> AsyncIterator[Item]:
        """All of them, newest first."""
        cursor: str | None = None
        while True:
            page = await self._api.send(calls.items(cursor))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def delete(self, item_id: UUID | str) -> None:
        await self._api.send(calls.delete_item(item_id))

    async def _fetch(self, download: Download, item: Item) -> None:
        attempts, done = self._api.attempts(calls.TRANSFER_SECONDS), 0
        while True:
            try:
                await self._api.fetch(calls.content_path(item.item_id), download)
                if download.is_complete:
                    return download.check()
                raise ApiAway("The API ended its answer early.")
            except (ApiAway, ApiRefused) as e:  # noqa: PERF203 - each is an attempt
                if download.done > done:
                    attempts, done = self._api.attempts(calls.TRANSFER_SECONDS), download.done
                await self._api.sleep(attempts.pause_after(e, is_safe=True))
