"""Users, and the mail that welcomes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import falcon.asgi
from sqlalchemy import Connection

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.submit import NewTask, SubmittedTask, submit
from taskyard.store import audit, users
from taskyard.store.audit import Action, Actor
from taskyard.store.users import MAX_USER_ID, NoSuchEndpoint, Put, User, UserData

from .. import user_models, views
from ..admission import Admission, Admitted
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..idempotency import key_of
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import query_of
from ..refusals import Fault, Invalid, QueueNotAllowed
from ..requests import Request
from ..submission import Accepted, Intake
from ..translation import LANGUAGE, Translations, Words
from ..user_models import EraseQuery, SendWelcomeBody, UserBody

WELCOME = "email.send_welcome"
ERASE = "users.erase"
_ERASING = message("What is known of the user is being erased.")
_COUNTING = message("What is known of the user is being counted.")
_ALL_QUEUES = message("Tasks of all queues are erased: this key may only see some of them.")
_MISSING = message("There is no such user.")
_NO_ENDPOINT = message("Must be one of your webhook endpoints: POST /api/v1/webhook-endpoints registers one.")
_ID = re.compile(r"[1-9][0-9]{0,15}")


def _user_id(text: str) -> int:
    """Raises NotFound."""
    if _ID.fullmatch(text) is None or int(text) > MAX_USER_ID:
        raise NotFound(message("The id of a user is a whole number from 1 to {most}, in digits.", most=MAX_USER_ID))
    return int(text)


def _shown(user: User, caller: Caller) -> dict[str, Any]:
    profile = None
    if user.profile_id is not None:
        profile = {"profile_id": user.profile_id, "created_at": user.profile_created_at}
    shown = {
        "user_id": user.id,
        "email": user.email,
        "name": user.name,
        "webhook_endpoint_id": user.webhook_endpoint_id,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "profile": profile,
        "statistics": {"login_count": user.login_count, "last_activity": user.last_activity},
    }
    return views.told(caller, shown, user_models.ToldUser)


class OneUser:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, admission: Admission, translations: Translations) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._admission = admission
        self._translations = translations

    @Operation(
        summary="Read a user, with profile and statistics",
        scope=Scope.READ,
        answers={200: Answer(description="The user.", model=user_models.User)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, user_id: str) -> None:
        caller = req.context.caller
        found = await self._ledger.run(partial(users.get, user_id=_user_id(user_id), owner=caller.owner_seen))
        if found is None:
            raise NotFound(_MISSING)
        views.send(resp, 200, _shown(found, caller))

    @Operation(
        summary="Write a user under an id of your own",
        description="Profile and statistics stay as they are: tasks write them. A user belongs to the key that wrote it"
        " first; 404 where a key that is restricted to queues writes one of another key's.",
        scope=Scope.MANAGE,
        body=UserBody,
        answers={
            200: Answer(description="As it is now.", model=user_models.User, without_read=user_models.ToldUser),
            201: Answer(
                description="New.", model=user_models.User, without_read=user_models.ToldUser, headers=("Location",)
            ),
        },
        refusals=(404,),
    )
    async def on_put(self, req: Request, resp: falcon.asgi.Response, user_id: str) -> None:
        wanted, caller = _user_id(user_id), req.context.caller
        given = validated(UserBody, (await self._bodies.read(req)).value)
        data = UserData(email=given.email, name=given.name, webhook_endpoint_id=given.webhook_endpoint_id)
        write = partial(_put, user_id=wanted, data=data, by=req.actor(), owner=caller.owner_seen)
        try:
            done = await self._ledger.run_transaction(write)
        except NoSuchEndpoint:
            raise Invalid([Fault("/webhook_endpoint_id", _NO_ENDPOINT)]) from None
        if done is None:
            raise NotFound(_MISSING)
        views.send(resp, 201 if done.is_new else 200, _shown(done.user, caller))
        if done.is_new:
            resp.set_header("Location", f"/api/v1/users/{wanted}")

    @Operation(
        summary="Erase what is known of a user",
        description="Submits a task that cancels the tasks about this user, takes away what these and others hold of"
        " the user, and deletes the user with profile and statistics. Call it also where no user was written. 403 for"
        " keys that are restricted to queues; 503 `type_not_registered`: no worker has brought the task type that does"
        " it.",
        scope=Scope.MANAGE,
        query=EraseQuery,
        answers={
            202: Answer(
                description="The task that does it.", model=user_models.Erasing, headers=("Location", *LANGUAGE)
            )
        },
        refusals=(404,),
    )
    async def on_delete(self, req: Request, resp: falcon.asgi.Response, user_id: str) -> None:
        wanted, query, caller = _user_id(user_id), query_of(EraseQuery, req), req.context.caller
        if caller.queues is not None:
            raise QueueNotAllowed(_ALL_QUEUES)
        await self._admission.require_type(ERASE)
        wish = SubmitTask(name=ERASE, params={"user_id": wanted, "dry_run": query.dry_run})
        (task,) = (await self._admission.admit([wish], req.context, await self._bodies.nothing(req))).tasks
        written = await self._ledger.commit(partial(_erase, task=task, user_id=wanted, by=req.actor()))
        words = self._translations.for_reader(req)
        told = words.say(_COUNTING if query.dry_run else _ERASING)
        views.send(resp, 202, {"task_id": written.id, "message": told, "status": "PENDING"}, words)
        resp.set_header("Location", f"/api/v1/tasks/{written.id}")


def _erase(conn: Connection, task: NewTask, user_id: int, by: Actor) -> Committed[SubmittedTask]:
    """The task does nothing without this row. It keeps no id of its request, which callers choose: it might name the
    person."""
    task.request_id = None
    done = submit(conn, [task])
    (written,) = done.answer
    audit.record(conn, by, Action.USER_ERASE, user_id, task_id=written.id, dry_run=task.params["dry_run"])
    return done.answering(written)


def _put(conn: Connection, user_id: int, data: UserData, by: Actor, owner: str | None) -> Put | None:
    done = users.put(conn, user_id, data, by=by.name, owner=owner)
    if done is not None and (done.is_new or done.changed):
        # Without the values: rows of the audit log are never deleted, and these are personal.
        audit.record(conn, by, Action.USER_CREATE if done.is_new else Action.USER_CHANGE, user_id, changed=done.changed)
    return done


class SendWelcome:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, intake: Intake) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._intake = intake

    @Operation(
        summary="Send the welcome mail to a user",
        description="503 `type_not_registered`: no worker has brought the task type that does it.",
        scope=Scope.SUBMIT,
        body=SendWelcomeBody,
        answers={
            202: Answer(
                description="The task that sends it.", model=user_models.WelcomeQueued, headers=("Content-Language",)
            )
        },
        refusals=(404,),
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        wanted = validated(SendWelcomeBody, body.value)

        async def validate() -> list[SubmitTask]:
            owner = req.context.caller.owner_seen
            user = await self._ledger.run(partial(users.get, user_id=wanted.user_id, owner=owner))
            if user is None:
                raise NotFound(_MISSING)
            await self._intake.require_type(WELCOME)
            return [SubmitTask(name=WELCOME, params={"to_email": user.email, "username": user.name})]

        await self._intake.take(
            req,
            resp,
            key_of(req, body.raw),
            validate=validate,
            answer=_queued,
            as_sent=[{"name": WELCOME}],
            body=body,
        )


def _queued(_admitted: Admitted, written: Sequence[SubmittedTask], words: Words) -> Accepted:
    told = words.say(message("Welcome email queued"))
    return Accepted({"task_id": written[0].id, "message": told, "status": "PENDING"}, {})
