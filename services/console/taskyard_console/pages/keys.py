"""API keys: seen, made and revoked by administrators. A new key is shown once: no answer is kept anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import falcon
import falcon.asgi

from taskyard_client import Conflict, Invalid

from ..access import ADMIN, MANAGE, READ, SUBMIT
from ..formats import moment_from
from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..visits import Visit

SCOPES = (READ, SUBMIT, MANAGE, ADMIN)


@dataclass(frozen=True)
class Keys(Page):
    scope = changing = ADMIN

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await self._show(req, resp, {"name": "", "scopes": [], "queues": [], "expires_at": ""}, {})

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The key is in the answer to the form itself, which browsers keep neither in their cache nor for going back,
        and which makes no second one when it is sent again: the name is taken."""
        visit: Visit = req.context.visit
        form = visit.form
        typed: dict[str, Any] = {name: form.text(name).strip() for name in ("name", "expires_at")}
        typed |= {name: form.all(name) for name in ("scopes", "queues")}
        try:
            expires_at = moment_from(typed["expires_at"], visit.zone)
        except ValueError:
            await self._show(req, resp, typed, {"expires_at": visit.words.gettext("This is not a time.")})
            return
        try:
            made = await visit.api.keys.create(
                typed["name"], typed["scopes"], queues=typed["queues"] or None, expires_at=expires_at
            )
        except Invalid as e:
            await self._show(req, resp, typed, _by_field(e.errors))
        except Conflict as e:
            await self._show(req, resp, typed, {"name": str(e)})
        else:
            self.rendering.show(resp, visit, "key_made.html", key=made)

    async def _show(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        typed: Mapping[str, Any],
        faults: Mapping[str, str],
    ) -> None:
        visit: Visit = req.context.visit
        page, queues = await asyncio.gather(
            visit.api.keys.page(cursor=req.get_param("cursor") or None), part(visit.api.queues.items())
        )
        self.rendering.show(
            resp,
            visit,
            "keys.html",
            status=falcon.HTTP_UNPROCESSABLE_ENTITY if faults else falcon.HTTP_OK,
            page=page,
            scopes=SCOPES,
            queues=queues,
            typed=typed,
            faults=faults,
        )


def _by_field(errors: list[tuple[str, str]]) -> dict[str, str]:
    """The first fault of each field; `/queues/0` is one of `queues`."""
    found: dict[str, str] = {}
    for pointer, said in errors:
        found.setdefault(pointer.strip("/").partition("/")[0], said)
    return found


@dataclass(frozen=True)
class RevokeKey(Page):
    """Once the key's name was typed."""

    scope = changing = ADMIN

    rendering: Rendering

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, key_id: str) -> None:
        visit: Visit = req.context.visit
        name, is_sent = visit.form.text("name"), visit.form.text("confirmed") == "yes"
        if not (is_sent and visit.form.text("typed").strip() == name.strip()):
            self.rendering.show(resp, visit, "key_revoke.html", key_id=key_id, name=name, is_mistyped=is_sent)
            return
        try:
            revoked = await visit.api.keys.revoke(UUID(key_id))
        except ValueError:
            raise falcon.HTTPNotFound from None
        said = visit.words.gettext("The key %(name)s is revoked; it is refused within five seconds.")
        visit.say(resp, "done", said % {"name": revoked.name})
        visit.go(resp, "/keys")
