"""The cookies: names, paths and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import falcon.asgi

from . import views
from .sessions import Session, Sessions, Vault
from .views import View

_NOTICE_LIFE = timedelta(minutes=2)
_MAX_NOTICE_BYTES = 1_800
# How long a reader may take at the provider of a sign-in.
_FLOW_LIFE = timedelta(minutes=10)
_YEAR = 365 * 24 * 3600
# Falcon leaves a life of 0 seconds out.
_PAST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cookies:
    """`path`: that of the console, empty at the root of its host. Over HTTPS the names have the prefixes that keep
    other hosts of the same domain from setting them (RFC 6265bis, 4.1.3); `__Host-` asks for the path `/`."""

    sessions: Sessions
    vault: Vault
    path: str
    is_https: bool = False

    def of(self, *, is_https: bool) -> Cookies:
        return Cookies(self.sessions, self.vault, self.path, is_https)

    def session(self, sent: Mapping[str, str]) -> Session | None:
        return self.sessions.read(sent.get(self._name("session")))

    def write_session(self, resp: falcon.asgi.Response, session: Session) -> None:
        """Until the browser is closed, or the session's life is over. Raises ValueError where it is too large."""
        self._set(resp, "session", self.sessions.written(session))

    def end_session(self, resp: falcon.asgi.Response) -> None:
        self._set(resp, "session", "", expires=_PAST)

    def notice(self, sent: Mapping[str, str]) -> dict[str, str] | None:
        text = sent.get(self._name("notice"))
        found: dict[str, str] | None = self.vault.open("notice", text, _NOTICE_LIFE) if text else None
        return found

    def write_notice(self, resp: falcon.asgi.Response, notice: Mapping[str, str]) -> None:
        short = {name: text.encode()[:_MAX_NOTICE_BYTES].decode(errors="ignore") for name, text in notice.items()}
        self._set(resp, "notice", self.vault.seal("notice", short))

    def end_notice(self, resp: falcon.asgi.Response) -> None:
        self._set(resp, "notice", "", expires=_PAST)

    def flow(self, sent: Mapping[str, str]) -> dict[str, str] | None:
        """What a sign-in that has begun elsewhere has to come back with."""
        text = sent.get(self._name("flow"))
        found: dict[str, str] | None = self.vault.open("flow", text, _FLOW_LIFE) if text else None
        return found

    def write_flow(self, resp: falcon.asgi.Response, flow: Mapping[str, str]) -> None:
        self._set(resp, "flow", self.vault.seal("flow", dict(flow)))

    def end_flow(self, resp: falcon.asgi.Response) -> None:
        self._set(resp, "flow", "", expires=_PAST)

    def views(self, sent: Mapping[str, str]) -> list[View]:
        return views.read(sent.get(self._name("views")))

    def write_views(self, resp: falcon.asgi.Response, saved: Sequence[View]) -> None:
        """Raises TooMany."""
        self._set(resp, "views", views.written(saved), max_age=_YEAR)

    def write_choice(self, resp: falcon.asgi.Response, name: str, value: str) -> None:
        """A language, a zone, a theme: no secret, and read by our script."""
        self._set(resp, f"taskyard_{name}", value, plain=True, max_age=_YEAR)

    def _name(self, name: str) -> str:
        prefix = "" if not self.is_https else "__Secure-" if self.path else "__Host-"
        return f"{prefix}taskyard_{name}"

    def _set(self, resp: falcon.asgi.Response, name: str, value: str, *, plain: bool = False, **life: Any) -> None:
        resp.set_cookie(
            name if plain else self._name(name),
            value,
            path=self.path or "/",
            secure=self.is_https,
            http_only=not plain,
            same_site="Lax",
            **life,
        )
