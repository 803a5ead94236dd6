"""Signing in and out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import falcon
import falcon.asgi
import structlog
from prometheus_client import Counter

from taskyard.domain.api_keys import prefix_of
from taskyard.telemetry.metrics import Family
from taskyard_client.errors import NotAllowed

from ..access import Accesses
from ..addresses import local
from ..links import Links
from ..oidc import Provider, ProviderAway
from ..page import Page
from ..passwords import Checks, TooManyChecks
from ..rendering import Rendering
from ..sessions import BY_KEY, BY_LINK, BY_PASSWORD, BY_PROVIDER, Session
from ..tries import Tries
from ..visits import Visit

log = structlog.get_logger(__name__)

MAX_PASSWORD = 1_000
MAX_NAME = 100
# Until the passwords that wait are checked.
_CHECKS_SECONDS = 5.0


@dataclass(frozen=True)
class SignIn(Page):
    is_public = True

    rendering: Rendering
    accesses: Accesses
    checks: Checks | None
    provider: Provider | None
    tries: Tries
    with_keys: bool
    refused: Family[Counter]

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        if visit.access is not None:
            visit.go(resp, req.get_param("next") or "/")
            return
        self._show(resp, visit, local(req.get_param("next")))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        _ = visit.words.gettext
        back = local(visit.form.text("next"))
        if seconds := self.tries.take(visit.client_address):
            self._refuse(resp, visit, back, seconds)
            return
        by_key = "key" in visit.form
        try:
            session = await self._by_key(visit) if by_key else await self._by_password(visit)
        except TooManyChecks:
            self._refuse(resp, visit, back, _CHECKS_SECONDS)
            return
        if session is None:
            self.refused["key" if by_key else "password"].inc()
            log.warning("sign_in_refused", name=visit.form.text("name")[:MAX_NAME], address=visit.client_address)
            said = _("There is no such API key.") if by_key else _("The name or the password is wrong.")
            self._show(resp, visit, back, falcon.HTTP_UNPROCESSABLE_ENTITY, said)
            return
        self.tries.give_back(visit.client_address)
        log.info("signed_in", name=session.name, way=session.way, address=visit.client_address)
        visit.sign_in(resp, session)
        visit.go(resp, back)

    def _refuse(self, resp: falcon.asgi.Response, visit: Visit, back: str, seconds: float) -> None:
        self.refused["too_many"].inc()
        resp.set_header("Retry-After", str(math.ceil(seconds)))
        said = visit.words.gettext("Too many tries. Wait a minute.")
        self._show(resp, visit, back, falcon.HTTP_TOO_MANY_REQUESTS, said)

    async def _by_key(self, visit: Visit) -> Session | None:
        key = visit.form.text("key").strip()
        if not self.with_keys or prefix_of(key) is None:
            return None
        try:
            told = await self.accesses.asked(key)
        except NotAllowed:
            return None
        return Session(name=told.name[:MAX_NAME], key=key, way=BY_KEY)

    async def _by_password(self, visit: Visit) -> Session | None:
        name, password = visit.form.text("name"), visit.form.text("password")
        if not self.checks or not password or len(password) > MAX_PASSWORD:
            return None
        user = await self.checks.check(name, password)
        return None if user is None else Session(name=user.name, role=user.role, way=BY_PASSWORD)

    def _show(
        self, resp: falcon.asgi.Response, visit: Visit, back: str, status: str = falcon.HTTP_OK, said: str = ""
    ) -> None:
        self.rendering.show(
            resp,
            visit,
            "sign_in.html",
            status=status,
            back=back,
            said=said,
            with_keys=self.with_keys,
            with_users=self.checks is not None,
            with_provider=self.provider is not None,
        )


class SignOut(Page):
    is_public = True

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        visit.cookies.end_session(resp)
        visit.go(resp, "/sign-in")


@dataclass(frozen=True)
class LinkIn(Page):
    """A link that signs in once. Another site must not sign a reader in: the reader would work with the sender's key
    without knowing it."""

    is_public = True

    accesses: Accesses
    links: Links
    refused: Family[Counter]

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        key = None
        if req.method == "GET" and req.get_header("Sec-Fetch-Site") not in {"cross-site", "same-site"}:
            key = self.links.use(req.get_param("token") or "")
        if key is None:
            self.refused["link"].inc()
            _ = visit.words.gettext
            visit.say(resp, "failed", _("This link was used, or is older than five minutes."))
            visit.go(resp, "/sign-in")
            return
        told = await self.accesses.asked(key)
        log.info("signed_in", name=told.name, way=BY_LINK, address=visit.client_address)
        visit.sign_in(resp, Session(name=told.name[:MAX_NAME], key=key, way=BY_LINK))
        visit.go(resp, local(req.get_param("next")))


@dataclass(frozen=True)
class ProviderStart(Page):
    """A link and no form: a form may not lead to another host (`form-action`)."""

    is_public = True

    provider: Provider

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        if visit.session.is_signed_in:  # written anew, a session would last longer than its life
            visit.go(resp, req.get_param("next") or "/")
            return
        try:
            address, flow = await self.provider.begin(visit.origin)
        except ProviderAway:
            visit.say(resp, "failed", visit.words.gettext("The provider of the sign-in does not answer."))
            visit.go(resp, "/sign-in")
            return
        visit.cookies.write_flow(resp, {**flow, "next": local(req.get_param("next"))})
        resp.status = falcon.HTTP_SEE_OTHER
        resp.set_header("Location", address)


@dataclass(frozen=True)
class ProviderReturn(Page):
    is_public = True

    provider: Provider
    refused: Family[Counter]

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        _, flow = visit.words.gettext, visit.cookies.flow(req.cookies)
        if flow is None and visit.access is not None:  # any site can lead a reader here
            visit.go(resp, "/")
            return
        session = await self.provider.end(visit.origin, flow, dict(req.params)) if flow else None
        visit.cookies.end_flow(resp)
        if session is None or flow is None:
            self.refused["provider"].inc()
            visit.say(resp, "failed", _("The sign-in was not completed, or you have no role here."))
            visit.go(resp, "/sign-in")
            return
        log.info("signed_in", name=session.name, way=BY_PROVIDER, address=visit.client_address)
        visit.sign_in(resp, session)
        visit.go(resp, flow["next"])
