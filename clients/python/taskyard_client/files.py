"""`client.files`: tree items, the files that tasks read and write."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import calls, kit_calls
from .errors import ApiAway, ApiRefused
from .kit_models import Conversion, Submitted
from .models import Item
from .pages import each, each_async
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
        return each(self._api, calls.items)

    def thumbnail(self, item_id: UUID | str, width: int, height: int) -> Submitted:
        """A thumbnail of an image, as a new item: the task that makes it."""
        return self._api.send(kit_calls.thumbnail(item_id, width, height))

    def convert_to_raster(self, item_id: UUID | str, **by: Any) -> Submitted:
        """Makes an image a raster: bounds and crs, control_points and crs, or nothing where the file says it itself."""
        return self._api.send(kit_calls.convert(item_id, by))

    def conversion(self, item_id: UUID | str) -> Conversion:
        """How far the conversion of the item is."""
        return self._api.send(kit_calls.conversion(item_id))

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

    def items(self) -> AsyncIterator[Item]:
        """All of them, newest first."""
        return each_async(self._api, calls.items)

    async def thumbnail(self, item_id: UUID | str, width: int, height: int) -> Submitted:
        """As `Files.thumbnail`."""
        return await self._api.send(kit_calls.thumbnail(item_id, width, height))

    async def convert_to_raster(self, item_id: UUID | str, **by: Any) -> Submitted:
        """As `Files.convert_to_raster`."""
        return await self._api.send(kit_calls.convert(item_id, by))

    async def conversion(self, item_id: UUID | str) -> Conversion:
        """As `Files.conversion`."""
        return await self._api.send(kit_calls.conversion(item_id))

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
