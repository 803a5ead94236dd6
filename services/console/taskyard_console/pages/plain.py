"""What is no page of its own: probes, static files, the reader's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import falcon
import falcon.asgi

from ..addresses import local
from ..formats import zone_of
from ..page import Page
from ..rendering import StaticFile
from ..visits import OFF, ON, THEMES, Visit
from ..words import LANGUAGES

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_YEAR = "public, max-age=31536000, immutable"


class HealthLive:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"status": "ok"}


class HealthReady:
    """A console without its API still shows why; taking it out of service would help nobody."""

    def __init__(self) -> None:
        self._stops = False

    def stop_soon(self) -> None:
        self._stops = True

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.status = falcon.HTTP_SERVICE_UNAVAILABLE if self._stops else falcon.HTTP_OK
        resp.media = {"status": "stopping" if self._stops else "ok"}


@dataclass(frozen=True)
class Static:
    files: Mapping[str, StaticFile]

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        file = self.files.get(name)
        if file is None:
            raise falcon.HTTPNotFound
        resp.data = file.data
        resp.content_type = _TYPES[name[name.rindex(".") :]]
        # Addresses in pages hold the version; one without it is asked for by hand.
        resp.set_header("Cache-Control", _YEAR if req.get_param("v") == file.version else "no-cache")


class Choices(Page):
    """Language, theme, zone; and whether pages change by themselves, and keys alone do something: some readers need
    that to be off (WCAG 2.2.2, 2.1.4)."""

    is_public = True

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        form = visit.form
        if (language := form.text("language")) in LANGUAGES:
            visit.cookies.write_choice(resp, "language", language)
        if (theme := form.text("theme")) in THEMES | {"auto"}:
            visit.cookies.write_choice(resp, "theme", theme)
        for name in ("updates", "shortcuts"):
            if (wanted := form.text(name)) in {ON, OFF}:
                visit.cookies.write_choice(resp, name, wanted)
        zone = form.text("zone").strip()
        if zone_of(zone) is not None:
            visit.cookies.write_choice(resp, "zone", zone)
        elif zone:
            said = visit.words.gettext("There is no time zone %(zone)s. Zones are called like Europe/Berlin.")
            visit.say(resp, "failed", said % {"zone": zone[:64]})
        visit.go(resp, local(form.text("next")))
