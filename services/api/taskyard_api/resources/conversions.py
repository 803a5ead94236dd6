"""Conversions of tree items into rasters with a place on earth: begun by a task, which the item's tag finds again.

One conversion of an item runs at a time, which a unique key sees to. A wish that is being fulfilled, or was, gets the
task that it got first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
import orjson
from sqlalchemy import Connection, RowMapping

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.errors import NotUnique
from taskyard.domain.messages import message
from taskyard.domain.tasks import LIVE, WAITING, State
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.submit import SubmittedTask
from taskyard.store.reads import TaskFilter, task_by_id, tasks_page
from taskyard.store.tree_items import TreeItem

from .. import answers, views
from ..admission import Admitted
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of, once_with_the_change
from ..models import ConversionBody
from ..operations import Answer, Operation
from ..parameters import id_in_path
from ..refusals import ConversionConflict
from ..requests import Request
from ..submission import Accepted, Intake
from ..translation import LANGUAGE, Translations, Words
from ..uploads import Files

CONVERSION = "geo.convert_to_raster"
RASTER = "geo_raster_file"
_STATUS = {
    **dict.fromkeys(WAITING, "PENDING"),
    State.RUNNING: "PROGRESS",
    State.SUCCEEDED: "COMPLETED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELLED",
}
_MESSAGES = {
    "NOT_STARTED": message("No conversion was asked for."),
    "PENDING": message("The conversion waits for a worker."),
    "PROGRESS": message("The conversion is running."),
    "COMPLETED": message("The conversion is done."),
    "FAILED": message("The conversion has failed; its task says why."),
    "CANCELLED": message("The conversion was cancelled."),
}


_ANSWERS = {
    "STARTED": message("The conversion has been asked for; its status tells how far it is."),
    "COMPLETED": message("The item is converted already."),
}


def _item_id(text: str) -> UUID:
    return id_in_path(text, message("There is no such item."))


def _tag(item_id: UUID) -> str:
    return f"item:{item_id}"


def _task(item_id: UUID, wish: Mapping[str, Any]) -> SubmitTask:
    unique = {"key": str(item_id), "while": "active"}
    params = {"item_id": str(item_id), **wish}
    return SubmitTask.model_validate({"name": CONVERSION, "params": params, "tags": [_tag(item_id)], "unique": unique})


class _Begun(Exception):
    """What was asked for is under way, or done, by this task."""

    def __init__(self, task_id: UUID, status: str) -> None:
        super().__init__()
        self.task_id = task_id
        self.status = status


class Conversions:
    """What has become of the conversions of an item."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def of(self, item_id: UUID, caller: Caller) -> tuple[TreeItem, RowMapping | None]:
        """The item and its newest conversion, as far as the caller may see it. Raises NotFound.

        The tag finds it, and its parameters say that it is one of this item: anyone may give a task any tag. In this
        order: of a conversion that has succeeded, the item is seen with the raster.
        """
        wanted = TaskFilter(name=CONVERSION, tag=_tag(item_id), item_id=item_id, queues=caller.queues)
        found = await self._files.ledger.run(partial(tasks_page, wanted=wanted, limit=1))
        return await self._files.item(item_id, caller), next(iter(found), None)

    async def require_new(self, item_id: UUID, wish: Mapping[str, Any], caller: Caller) -> None:
        """Raises NotFound; _Begun where a task does, or did, what is wished; ConversionConflict where it is another
        wish that is being fulfilled, or was."""
        item, newest = await self.of(item_id, caller)
        if newest is not None and State(newest["state"]) in LIVE:
            raise _active(newest, wish)
        if item.object_type != RASTER or item.task_id is None:
            return
        maker = await self._files.ledger.run(partial(task_by_id, task_id=item.task_id, queues=caller.queues))
        if maker is None or maker["name"] != CONVERSION:
            return  # forgotten, or not to be seen: the task finds out whether the raster lies there
        if wish and not _is_same(maker, wish):
            told = message("The item is converted already, in another way. Upload the image again to change that.")
            raise ConversionConflict(told, code="already_converted", task_id=maker["id"])
        if maker["state"] == State.SUCCEEDED:
            raise _Begun(maker["id"], "COMPLETED")


def _active(task: RowMapping, wish: Mapping[str, Any]) -> Exception:
    if task["cancel_requested_at"] is not None:
        told = message("A conversion of this item is being cancelled: ask again when it has ended.")
    elif _is_same(task, wish):
        return _Begun(task["id"], "STARTED")
    else:
        told = message("The item is being converted in another way: wait for that task, or cancel it.")
    return ConversionConflict(told, code="conversion_active", task_id=task["id"])


def _is_same(task: RowMapping, wish: Mapping[str, Any]) -> bool:
    given = {name: value for name, value in orjson.loads(task["params"]).items() if value is not None}
    return given.keys() - {"item_id"} == wish.keys() and wish.items() <= given.items()


class Convert:
    def __init__(self, bodies: Bodies, files: Files, intake: Intake, translations: Translations) -> None:
        self._bodies = bodies
        self._files = files
        self._intake = intake
        self._translations = translations
        self._conversions = Conversions(files)

    @Operation(
        summary="Convert an image into a raster with a place on earth",
        description="By its bounds, by control points, or by what the file says itself. Asked for again, it is the task"
        " that was first: `status` is `COMPLETED` where it has done it. 409 `conversion_active`: it is being converted"
        " in another way, or the conversion is being cancelled. 409 `already_converted`: it was converted in another"
        " way. Both name the task. 503 `type_not_registered`: no worker has brought the task type that does it.",
        scope=Scope.SUBMIT,
        body=ConversionBody,
        answers={
            202: Answer(
                description="The task that converts it.", model=answers.TaskStarted, headers=("Content-Language",)
            )
        },
        refusals=(404, 409),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        body = await self._bodies.read(req)
        wish = validated(ConversionBody, body.value).model_dump(exclude_unset=True)
        key, source = key_of(req, body.raw), _item_id(item_id)
        task = _task(source, wish)

        async def validate() -> list[SubmitTask]:
            await self._conversions.require_new(source, wish, req.context.caller)
            await self._intake.require_type(CONVERSION)
            return [task]

        as_sent = [task.model_dump()]
        # Where it is not unique, a look at the holder decides: which may end before, or not be this caller's to see.
        for is_last in (False, False, True):
            try:
                await self._intake.take(req, resp, key, validate=validate, answer=_started, as_sent=as_sent, body=body)
                return
            except _Begun as e:
                tell = partial(self._tell, words=self._translations.for_reader(req), begun=e)
                await once_with_the_change(self._files.ledger, key, resp, tell)
                return
            except NotUnique:
                if is_last:
                    raise

    def _tell(self, _conn: Connection, words: Words, begun: _Begun) -> Committed[StoredAnswer]:
        told = _answer(begun.task_id, begun.status, words)
        return Committed(StoredAnswer(202, words.headers(), views.encode(told)))


class ConversionStatus:
    def __init__(self, files: Files, translations: Translations) -> None:
        self._conversions = Conversions(files)
        self._translations = translations

    @Operation(
        summary="Read how far the newest conversion of an item is",
        scope=Scope.READ,
        answers={200: Answer(description="How far it is.", model=answers.Conversion, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        item, task = await self._conversions.of(_item_id(item_id), req.context.caller)
        words = self._translations.for_reader(req)
        status, task_id = _standing(item, task)
        shown = {
            "item_id": item.id,
            "status": status,
            "object_type": item.object_type,
            "message": _message(task, status, words),
            "support_url": words.support_url if status == "FAILED" else None,
            "task_id": task_id,
        }
        views.send(resp, 200, shown, words)


def _standing(item: TreeItem, task: RowMapping | None) -> tuple[str, UUID | None]:
    """How far the item is, and the task that counts for it: of a raster that one which made it."""
    if item.object_type == RASTER and (task is None or State(task["state"]) not in LIVE):
        return "COMPLETED", item.task_id
    return ("NOT_STARTED", None) if task is None else (_STATUS[State(task["state"])], task["id"])


def _message(task: RowMapping | None, status: str, words: Words) -> str:
    """What the task says that it does, where it says it."""
    told = task["progress_message"] if task is not None and status == "PROGRESS" else None
    return told or words.say(_MESSAGES[status])


def _started(_admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
    return Accepted(_answer(written[0].id, "STARTED", words), {})


def _answer(task_id: UUID, status: str, words: Words) -> dict[str, Any]:
    return {"task_id": task_id, "status": status, "message": words.say(_ANSWERS[status])}
