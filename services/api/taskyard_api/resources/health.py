"""Health: liveness, readiness, and details."""

from __future__ import annotations

import falcon.asgi

from .. import health_answers, views
from ..auth import Scope
from ..health import Health
from ..operations import Answer, Operation
from ..requests import Request
from ..translation import LANGUAGE, Translations


class Live:
    @Operation(
        summary="The loop turns; nothing else is touched",
        scope=None,
        answers={200: Answer(description="Alive.", model=health_answers.Alive)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        views.send(resp, 200, {"status": "alive"})


class Ready:
    def __init__(self, health: Health) -> None:
        self._health = health

    @Operation(
        summary="PostgreSQL answers and is migrated; Redis being away only degrades",
        scope=None,
        answers={200: Answer(description="Ready.", model=health_answers.Ready)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        views.send(resp, 200, await self._health.ready())


class Detailed:
    def __init__(self, health: Health, translations: Translations) -> None:
        self._health = health
        self._translations = translations

    @Operation(
        summary="Every part, with its latency and what is wrong with it",
        scope=Scope.READ,
        answers={200: Answer(description="The parts.", model=health_answers.Health, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        words = self._translations.for_reader(req)
        views.send(resp, 200, await self._health.detailed(req.context.caller, words), words)
