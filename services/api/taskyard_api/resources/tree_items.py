"""Tree items: files that callers uploaded or tasks made."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.errors import Refused
from taskyard.domain.messages import message
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.submit import SubmittedTask
from taskyard.store import tree_items
from taskyard.store.task_archives import OBJECT_TYPE

from .. import answers, views
from ..admission import Admitted
from ..auth import Scope
from ..bodies import Bodies, validated
from ..conditions import Validators
from ..idempotency import key_of, once_with_the_change
from ..models import PageQuery, ThumbnailBody
from ..operations import ANYTHING, Answer, Operation
from ..parameters import cursor_at, id_in_path, query_of, read_cursor, wanted_range
from ..requests import Request
from ..submission import Accepted, Intake
from ..translation import Words
from ..uploads import Files

PATH = "/api/v1/tree-items"
THUMBNAIL = "files.generate_thumbnail"


def _item_id(text: str) -> UUID:
    return id_in_path(text, message("There is no such item."))


class TreeItems:
    def __init__(self, files: Files) -> None:
        self._files = files

    @Operation(
        summary="Upload a file",
        description="As the raw body, with its name in X-Filename, or as a form with one file.",
        scope=Scope.SUBMIT,
        files=True,
        headers={"X-Filename": "For a raw body: the file's name, in percent-encoded UTF-8."},
        answers={
            201: Answer(
                description="Kept.", model=answers.TreeItem, without_read=answers.ToldTreeItem, headers=("Location",)
            )
        },
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        key_of(req, b"")  # refuses an invalid key before two gigabytes are sent
        received = await self._files.receive(req)
        described = f"{received.name}\x00{received.content_type}\x00{received.sha256}"
        key = key_of(req, described.encode())
        caller, is_kept = req.context.caller, False

        def keep(conn: Connection) -> Committed[StoredAnswer]:
            nonlocal is_kept
            is_kept = True
            (item,) = tree_items.insert(conn, [received])
            shown = views.encode(views.item(caller, item))
            return Committed(StoredAnswer(201, {"Location": f"{PATH}/{item.id}"}, shown))

        try:
            await once_with_the_change(self._files.ledger, key, resp, keep)
        except Refused:
            await self._files.discard(received)
            raise
        # After any other error the item may be there: its bytes are deleted later, and only where it is not.
        if not is_kept:
            await self._files.discard(received)

    @Operation(
        summary="List items, newest first",
        scope=Scope.READ,
        query=PageQuery,
        answers={200: Answer(description="A page of items.", model=answers.TreeItemPage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(PageQuery, req), req.context.caller
        before = read_cursor(query.cursor)
        found = await self._files.page(caller, limit=query.limit + 1, before=before)
        items = found[: query.limit]
        more = cursor_at(items[-1].id) if len(found) > query.limit else None
        views.send(resp, 200, {"items": [views.item(caller, item) for item in items], "next_cursor": more})


class OneTreeItem:
    def __init__(self, files: Files) -> None:
        self._files = files

    @Operation(
        summary="Read an item",
        scope=Scope.READ,
        answers={200: Answer(description="The item.", model=answers.TreeItem)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        caller = req.context.caller
        views.send(resp, 200, views.item(caller, await self._files.item(_item_id(item_id), caller)))

    @Operation(
        summary="Delete an item and its content",
        scope=Scope.MANAGE,
        answers={204: Answer(description="Gone.")},
        refusals=(404,),
    )
    async def on_delete(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        await self._files.delete(_item_id(item_id), req.context.caller, req.actor())
        resp.status = 204


class Content:
    def __init__(self, files: Files) -> None:
        self._files = files

    @Operation(
        summary="Download an item's content, or one range of it",
        description="An archive of tasks (`task_archive`) needs the scope `manage`, too: it has stack traces.",
        scope=Scope.READ,
        headers={
            "Range": "bytes=first-last",
            "If-Range": "The ETag or the Last-Modified that the range belongs to.",
            "If-None-Match": "304 where one of these is the ETag.",
            "If-Modified-Since": "304 where Last-Modified is no later; without If-None-Match.",
            "If-Match": "412 where none of these is the ETag.",
            "If-Unmodified-Since": "412 where Last-Modified is later; without If-Match.",
        },
        answers={
            200: Answer(description="All of it.", media_type=ANYTHING),
            206: Answer(description="The range.", media_type=ANYTHING),
            304: Answer(description="The caller has it already."),
        },
        refusals=(404, 412, 416),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        item = await self._files.item(_item_id(item_id), req.context.caller)
        if item.object_type == OBJECT_TYPE:
            req.context.caller.require(Scope.MANAGE)  # an archive of tasks has their stack traces
        assert item.created_at is not None
        validators = Validators(item.sha256, item.created_at)
        if validators.answer_from_cache(req, resp):
            return
        part = wanted_range(req.get_header("Range") if validators.allow_a_range(req) else None, item.size)
        first, last = part or (0, item.size - 1)
        length = last - first + 1
        file = await (self._files.require_content(item) if req.method == "HEAD" else self._files.open(item, first))
        resp.status = 200 if part is None else 206
        resp.content_type = item.content_type
        resp.set_header("Accept-Ranges", "bytes")
        resp.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(item.name, safe='')}")
        # An uploaded file must not run as a page of this origin.
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Content-Security-Policy", "sandbox")
        if part is not None:
            resp.set_header("Content-Range", f"bytes {first}-{last}/{item.size}")
        if file is None:
            resp.content_length = length
            return
        checked = item.sha256 if length == item.size else None
        resp.set_stream(self._files.pieces(req, file, length, sha256=checked), length)


class Thumbnail:
    def __init__(self, bodies: Bodies, files: Files, intake: Intake) -> None:
        self._bodies = bodies
        self._files = files
        self._intake = intake

    @Operation(
        summary="Make a thumbnail of an image",
        description="503 `type_not_registered`: no worker has brought the task type that makes it.",
        scope=Scope.SUBMIT,
        body=ThumbnailBody,
        answers={
            202: Answer(description="The task that makes it.", model=answers.TaskStarted, headers=("Content-Language",))
        },
        refusals=(404,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        body = await self._bodies.read(req)
        size = validated(ThumbnailBody, body.value)
        key, source = key_of(req, body.raw), _item_id(item_id)
        params = {"item_id": str(source), "width": size.width, "height": size.height}
        task = SubmitTask(name=THUMBNAIL, params=params)

        async def validate() -> list[SubmitTask]:
            await self._files.item(source, req.context.caller)
            await self._intake.require_type(THUMBNAIL)
            return [task]

        await self._intake.take(
            req,
            resp,
            key,
            validate=validate,
            answer=_thumbnail_answer,
            as_sent=[task.model_dump()],
            body=body,
        )


def _thumbnail_answer(_admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
    told = words.say(message("The thumbnail is being made; it will be an item of its own."))
    return Accepted({"task_id": written[0].id, "status": "PENDING", "message": told}, {})
