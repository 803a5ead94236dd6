"""Files: received, named, sent. Names are labels for people; the storage chooses where bytes are kept."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote_to_bytes
from uuid import UUID

import falcon
import falcon.asgi
import structlog
from falcon.asgi.multipart import MultipartForm
from falcon.media.multipart import MultipartParseError, MultipartParseOptions
from sqlalchemy import Connection

from taskyard.backoff import spread
from taskyard.domain.errors import LedgerUnavailable, NotFound
from taskyard.domain.ids import new_id
from taskyard.domain.messages import Message, message
from taskyard.storage.interface import ObjectMissing, Storage, StorageUnavailable
from taskyard.store import audit, loose_objects, tree_items
from taskyard.store.audit import Action, Actor
from taskyard.store.tree_items import TreeItem

from .auth import Caller
from .content_types import HEAD_BYTES, type_of
from .ledger_pool import LedgerPool
from .refusals import Fault, Invalid, Malformed, TooLarge
from .requests import Request

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_NAME_BYTES = 255
_CHUNK = 1024 * 1024
_SWEEP_SECONDS = 3600.0
_SWEPT_AT_ONCE = 100
# The parts of a form around the file: headers, boundaries, small fields.
_FORM_ROOM = 64 * 1024
# Of one part: its name, the file's name in percent-encoding, its type.
_MAX_PART_HEADERS = 2048
_MAX_TYPE = 255
_NO_TYPE = message("The content type is not one.")
_LONG_NAME = message("The file's name may be {limit} bytes at most.", limit=MAX_NAME_BYTES)
_DEFAULT_TYPE = "application/octet-stream"
# They reverse the direction of text: a name could look like `x.jpg` and be something else.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class _FormOptions(MultipartParseOptions):
    def __init__(self) -> None:
        super().__init__()
        self.max_body_part_headers_size = _MAX_PART_HEADERS


class Files:
    def __init__(self, storage: Storage, ledger: LedgerPool, *, max_bytes: int, threads: int = 16) -> None:
        self._storage = storage
        self.ledger = ledger
        self._max_bytes = max_bytes
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="storage")

    async def receive(self, req: Request) -> TreeItem:
        """Streams the file of this request into the storage: an item to insert, or to `discard`.

        Raises Invalid for its name, TooLarge, Malformed, StorageUnavailable.
        """
        media, options = falcon.parse_header(_bounded_type(req.content_type, "Content-Type"))
        if media.lower() == "multipart/form-data":
            return await self._from_form(req, options.get("boundary", ""))
        name = checked_name(_header_name(req.header(b"x-filename")), "X-Filename")
        content_type = checked_type(req.content_type, "Content-Type")
        return await self._store(req, name, content_type, req.chunks(self._max_bytes))

    async def _from_form(self, req: Request, boundary: str) -> TreeItem:
        if not 1 <= len(boundary) <= 70 or not boundary.isascii():
            raise Malformed(message("The form has no boundary, or not a good one."))
        chunks: Any = req.chunks(self._max_bytes + _FORM_ROOM)
        form = MultipartForm(chunks, boundary.encode(), None, _FormOptions())
        received: TreeItem | None = None
        try:
            async for part in form:
                if part.filename is None or received is not None:
                    raise Invalid([Fault(f"/{part.name or ''}", message("A form brings one file and nothing else."))])
                where = f"/{part.name or 'file'}"
                name = checked_name(part.filename, where)
                content_type = checked_type(part.content_type, where)
                received = await self._store(req, name, content_type, aiter(part.stream))
        except BaseException as e:
            if received is not None:
                await self.discard(received)
            if isinstance(e, MultipartParseError | UnicodeError):
                described = getattr(e, "description", None)
                raise Malformed(message("The form cannot be read: {reason}", reason=str(described or e))) from None
            raise
        if received is None:
            raise Invalid([Fault("/file", message("The form has no file."))])
        return received

    async def _store(self, req: Request, name: str, told_type: str, chunks: AsyncIterator[bytes]) -> TreeItem:
        manager = self._storage.writer()
        writer = await self._run(manager.__enter__)
        try:
            size, waiting, head = 0, bytearray(), b""
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    raise TooLarge(self._max_bytes)
                waiting += chunk
                if len(waiting) >= _CHUNK:  # fewer, larger steps from the loop to a thread
                    piece, waiting = bytes(waiting), bytearray()
                    head = head or piece[:HEAD_BYTES]
                    await self._run(lambda piece=piece: writer.write(piece))  # type: ignore[misc]
            rest = bytes(waiting)
            await self._run(lambda: writer.write(rest))
            await self.ledger.run(lambda conn: loose_objects.note(conn, writer.key))
            stored = await self._run(writer.commit)
            content_type = await self._run(lambda: type_of(head or rest[:HEAD_BYTES], told_type))
        finally:
            await asyncio.shield(self._run(lambda: manager.__exit__(None, None, None)))
        return TreeItem(
            id=new_id(),
            name=name,
            content_type=content_type,
            size=stored.size,
            sha256=stored.sha256,
            storage_key=stored.key,
            submitted_by=req.context.caller.name,
        )

    async def discard(self, item: TreeItem) -> None:
        """Deletes its bytes, now or later."""
        try:
            await self._run(lambda: self._storage.delete(item.storage_key))
        except StorageUnavailable:
            log.warning("object_left", key=item.storage_key)

    async def keep_clean(self) -> None:
        """Every hour, `sweep`."""
        while True:
            try:
                await self.sweep()
            except (LedgerUnavailable, StorageUnavailable) as e:
                log.warning("objects_not_swept", error=str(e))
            except Exception:
                log.exception("objects_not_swept")
            await asyncio.sleep(spread(_SWEEP_SECONDS))

    async def sweep(self) -> None:
        """Deletes the objects that have belonged to no item for a day: what a kill left between storage and database.

        Raises LedgerUnavailable, StorageUnavailable.
        """
        while keys := await self.ledger.run(partial(loose_objects.overdue, limit=_SWEPT_AT_ONCE)):
            for key in keys:
                await self._run(partial(self._storage.delete, key))
            await self.ledger.run(partial(loose_objects.forget, keys=keys))
            log.info("objects_swept", objects=len(keys))

    async def page(self, caller: Caller, *, limit: int, before: UUID | None) -> list[TreeItem]:
        """The items that the caller may see, newest first."""
        page = partial(tree_items.page, limit=limit, before=before, owner=caller.owner_seen)
        return await self.ledger.run(page)

    async def item(self, item_id: UUID, caller: Caller) -> TreeItem:
        """Raises NotFound, also where the caller may not see it."""
        found = await self.ledger.run(lambda conn: tree_items.get(conn, [item_id], owner=caller.owner_seen))
        if item_id not in found:
            raise NotFound(message("There is no such item."))
        return found[item_id]

    async def delete(self, item_id: UUID, caller: Caller, actor: Actor) -> None:
        """Raises NotFound, also where the caller may not see it."""

        def change(conn: Connection) -> list[TreeItem]:
            gone = tree_items.delete(conn, [item_id], owner=caller.owner_seen)
            for item in gone:
                details = {"name": item.name, "size": item.size, "sha256": item.sha256}
                audit.record(conn, actor, Action.TREE_ITEM_DELETE, item_id, **details)
            return gone

        gone = await self.ledger.run_transaction(change)
        if not gone:
            raise NotFound(message("There is no such item."))
        for item in gone:
            await self.discard(item)

    async def open(self, item: TreeItem, offset: int) -> BinaryIO:
        """Raises NotFound where the bytes are gone, StorageUnavailable."""
        return await self._found(lambda: self._storage.open(item.storage_key, offset=offset))

    async def require_content(self, item: TreeItem) -> None:
        """Raises like `open`, which makes a bucket begin to send."""
        await self._found(lambda: self._storage.size(item.storage_key))

    async def _found(self, call: Callable[[], T]) -> T:
        try:
            return await self._run(call)
        except ObjectMissing:
            raise NotFound(message("The content of this item is gone.")) from None

    async def pieces(
        self, req: Request, file: BinaryIO, length: int, *, sha256: str | None = None
    ) -> AsyncIterator[bytes]:
        """`length` bytes of the file, or fewer where the client disconnects.

        `sha256`: of these bytes. Where it is another one, the last piece is not sent, so that the client sees a
        download that was cut off and not one that is complete.
        """
        leaving, digest = asyncio.create_task(req.disconnected()), hashlib.sha256()

        def read(wanted: int) -> bytes:
            piece = file.read(wanted)
            if sha256 is not None:
                digest.update(piece)
            return piece

        try:
            while length > 0 and not leaving.done():
                piece = await self._run(partial(read, min(_CHUNK, length)))
                length -= len(piece)
                if not piece or (length == 0 and sha256 not in {None, digest.hexdigest()}):
                    log.error("object_damaged", missing_bytes=length)
                    raise StorageUnavailable("the object is not what its item says")
                yield piece
        finally:
            leaving.cancel()
            await self._run(file.close)

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _header_name(given: bytes | None) -> str:
    if given is None:
        raise Invalid([Fault("X-Filename", message("Give the file a name, in percent-encoded UTF-8."))])
    try:
        return unquote_to_bytes(given).decode()
    except UnicodeDecodeError:
        raise Invalid([Fault("X-Filename", message("Must be UTF-8, percent-encoded."))]) from None


def checked_name(name: str, where: str) -> str:
    """The name to store. Raises Invalid for names that could be a path, or not text, on some system."""

    def refuse(told: Message) -> Invalid:
        return Invalid([Fault(where, told)])

    try:
        # Sorting combining characters takes more than linear time, and makes names three times shorter at most.
        if len(name.encode()) > 4 * MAX_NAME_BYTES:
            raise refuse(_LONG_NAME)
        name = unicodedata.normalize("NFC", name)
        size = len(name.encode())
    except UnicodeEncodeError:
        raise refuse(message("The file's name is not text.")) from None
    if not name.strip() or name in {".", ".."}:
        raise refuse(message("The file needs a name."))
    if size > MAX_NAME_BYTES:
        raise refuse(_LONG_NAME)
    if "/" in name or "\\" in name:
        raise refuse(message("The file's name must not be a path."))
    if any(unicodedata.category(c) in {"Cc", "Cs"} or c in _BIDI_CONTROLS for c in name):
        raise refuse(message("The file's name has control characters."))
    return name


def checked_type(content_type: str | None, where: str) -> str:
    """Raises Invalid."""
    found = _bounded_type(content_type, where)
    media, _ = falcon.parse_header(found)
    kind, slash, subtype = media.partition("/")
    if not (slash and kind and subtype) or not found.isascii() or not found.isprintable():
        raise Invalid([Fault(where, _NO_TYPE)])
    return found


def _bounded_type(content_type: str | None, where: str) -> str:
    """Before it is parsed, which takes more than linear time where there are many quotation marks."""
    found = (content_type or _DEFAULT_TYPE).strip()
    if len(found) > _MAX_TYPE:
        raise Invalid([Fault(where, _NO_TYPE)])
    return found
