"""Conversions of tree items into rasters with a place on earth: begun by a task, which the item's tag finds again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import falcon.asgi
from sqlalchemy import RowMapping

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.messages import message
from taskyard.domain.tasks import WAITING, State
from taskyard.lifecycle.submit import SubmittedTask
from taskyard.store.reads import TaskFilter, tasks_page

from .. import answers, views
from ..admission import Admitted
from ..auth import Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of
from ..models import ConversionBody
from ..operations import Answer, Operation
from ..parameters import id_in_path
from ..requests import Request
from ..submission import Accepted, Intake
from ..translation import LANGUAGE, Translations, Words
from ..uploads import Files

CONVERSION = "geo.convert_to_raster"
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


def _item_id(text: str) -> UUID:
    return id_in_path(text, message("There is no such item."))


def _tag(item_id: UUID) -> str:
    return f"item:{item_id}"


class Convert:
    def __init__(self, bodies: Bodies, files: Files, intake: Intake) -> None:
        self._bodies = bodies
        self._files = files
        self._intake = intake

    @Operation(
        summary="Convert an image into a raster with a place on earth",
        description="By its bounds, by control points, or by what the file says itself. 503 `type_not_registered`: no"
        " worker has brought the task type that does it.",
        scope=Scope.SUBMIT,
        body=ConversionBody,
        answers={
            202: Answer(
                description="The task that converts it.", model=answers.TaskStarted, headers=("Content-Language",)
            )
        },
        refusals=(404,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        body = await self._bodies.read(req)
        wanted = validated(ConversionBody, body.value)
        key, source = key_of(req, body.raw), _item_id(item_id)
        params = {"item_id": str(source), **wanted.model_dump(exclude_unset=True)}
        task = SubmitTask(name=CONVERSION, params=params, tags=[_tag(source)])

        async def validate() -> list[SubmitTask]:
            await self._files.item(source, req.context.caller)
            await self._intake.require_type(CONVERSION)
            return [task]

        as_sent = [task.model_dump()]
        await self._intake.take(req, resp, key, validate=validate, answer=_started, as_sent=as_sent, body=body)


class ConversionStatus:
    def __init__(self, files: Files, translations: Translations) -> None:
        self._files = files
        self._translations = translations

    @Operation(
        summary="Read how far the newest conversion of an item is",
        scope=Scope.READ,
        answers={200: Answer(description="How far it is.", model=answers.Conversion, headers=LANGUAGE)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, item_id: str) -> None:
        caller = req.context.caller
        item = await self._files.item(_item_id(item_id), caller)
        wanted = TaskFilter(name=CONVERSION, tag=_tag(item.id), queues=caller.queues)
        task = next(iter(await self._files.ledger.run(partial(tasks_page, wanted=wanted, limit=1))), None)
        words = self._translations.for_reader(req)
        status = "NOT_STARTED" if task is None else _STATUS[State(task["state"])]
        shown = {
            "item_id": item.id,
            "status": status,
            "object_type": item.object_type,
            "message": _message(task, status, words),
            "support_url": words.support_url if status == "FAILED" else None,
            "task_id": None if task is None else task["id"],
        }
        views.send(resp, 200, shown, words)


def _message(task: RowMapping | None, status: str, words: Words) -> str:
    """What the task says that it does, where it says it."""
    told = task["progress_message"] if task is not None and status == "PROGRESS" else None
    return told or words.say(_MESSAGES[status])


def _started(_admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
    told = words.say(message("The conversion has been asked for; its status tells how far it is."))
    return Accepted({"task_id": written[0].id, "status": "STARTED", "message": told}, {})
