"""A visit: one request of one reader, with all that a page needs. The middleware makes it, and refuses forms that did
not come from our own pages and readers who may not do what the page does."""

from __future__ import annotations

import hmac
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import falcon
import falcon.asgi
import structlog

from taskyard_client.errors import ApiAway, ApiRefused

from .access import READ, Access, Accesses
from .addresses import Proxies, local
from .basic import Basic
from .cookies import Cookies
from .formats import UTC_ZONE, zone_of
from .forms import Form, read_form
from .navigation import ENTRIES, Entry
from .page import Page
from .sessions import Session
from .verdicts import Verdicts
from .words import language_of

if TYPE_CHECKING:
    from babel.support import NullTranslations

    from taskyard_client import AsyncClient

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
FRAGMENT = "X-Fragment"
# Path and query. What stands there is quoted again for the API, at up to three times the length.
MAX_ADDRESS_BYTES = 8 * 1024
THEMES = frozenset({"light", "dark"})
ON, OFF = "on", "off"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SignInNeeded(Exception):
    """Nobody is signed in."""


class NotOffered(Exception):
    """The reader's rights, or the console's being read-only, do not allow what was asked."""


class Forged(Exception):
    """The form did not come from a page of ours."""


class Stale(Exception):
    """The form has no token of this session: it came from another site, or its session has ended."""


@dataclass(slots=True)
class Visit:
    """`has_cookie`: the browser has the session. `updates`: pages follow what happens; `shortcuts`: keys alone do
    something. `notice`: what the action before has to say, shown once."""

    request_id: str
    session: Session
    has_cookie: bool
    origin: str
    client_address: str
    language: str
    zone: ZoneInfo
    theme: str
    updates: bool
    shortcuts: bool
    cookies: Cookies
    words: NullTranslations
    client: AsyncClient
    is_fragment: bool = False
    access: Access | None = None
    form: Form = field(default_factory=Form)
    notice: dict[str, str] | None = None
    address: str = "/"
    verdict: str = ""
    # With whose key it was made.
    _api: tuple[Access, AsyncClient] | None = None

    @property
    def api(self) -> AsyncClient:
        """The API as this reader reaches it. Raises SignInNeeded."""
        access = self.reader
        if self._api is None or self._api[0] is not access:
            made = self.client.with_key(access.key, on_behalf_of=access.person, language=self.language)
            self._api = access, made
        return self._api[1]

    @property
    def reader(self) -> Access:
        """Raises SignInNeeded."""
        if self.access is None:
            raise SignInNeeded
        return self.access

    def may(self, scope: str) -> bool:
        """Whether its reader may change what takes this scope."""
        return self.access is not None and self.access.may(scope)

    def may_see(self, scope: str) -> bool:
        return self.access is not None and self.access.may_see(scope)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those of the navigation that its reader may open."""
        return tuple([entry for entry in ENTRIES if self.may_see(entry.scope)])

    @property
    def here(self) -> str:
        """The path of the entry that the page belongs to; empty where it belongs to none."""
        path = self.address.partition("?")[0]
        parents = (one.path for one in ENTRIES if one.path != "/" and path.startswith(f"{one.path}/"))
        return path if any(path == one.path for one in ENTRIES) else next(parents, "")

    def say(self, resp: falcon.asgi.Response, kind: str, text: str) -> None:
        """`text` stands above the next page. `kind`: `done`, or `failed`."""
        self.cookies.write_notice(resp, {"kind": kind, "text": text})

    def go(self, resp: falcon.asgi.Response, path: str) -> None:
        """Behind a form, the browser reads `path`, which begins with a slash."""
        resp.status = falcon.HTTP_SEE_OTHER
        resp.set_header("Location", self.cookies.path + local(path))

    def sign_in(self, resp: falcon.asgi.Response, session: Session) -> None:
        """With a new CSRF token: whoever knew the one before knows nothing of the new session."""
        self.session = replace(session, csrf=Session().csrf)
        self.cookies.write_session(resp, self.session)


class Visits:
    """Falcon middleware."""

    def __init__(
        self,
        accesses: Accesses,
        cookies: Cookies,
        proxies: Proxies,
        catalogues: dict[str, NullTranslations],
        client: AsyncClient,
        basic: Basic | None = None,
    ) -> None:
        self._basic = basic
        self._accesses = accesses
        self._cookies = cookies
        self._proxies = proxies
        self._catalogues = catalogues
        self._client = client
        self._verdicts = Verdicts()

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        given = req.get_header("X-Request-ID") or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
        structlog.contextvars.bind_contextvars(request_id=request_id)
        origin = self._proxies.origin(req)
        cookies = self._cookies.of(is_https=origin.startswith("https:"))
        sent = req.cookies
        found = cookies.session(sent)
        language = language_of(sent.get("taskyard_language"), req.get_header("Accept-Language"))
        theme = sent.get("taskyard_theme", "")
        req.context.visit = Visit(
            request_id=request_id,
            session=found or Session(),
            has_cookie=found is not None,
            origin=origin,
            client_address=self._proxies.client(req),
            language=language,
            zone=zone_of(sent.get("taskyard_zone")) or UTC_ZONE,
            theme=theme if theme in THEMES else "",
            updates=sent.get("taskyard_updates") != OFF,
            shortcuts=sent.get("taskyard_shortcuts") != OFF,
            cookies=cookies,
            words=self._catalogues[language],
            client=self._client,
            is_fragment=req.get_header(FRAGMENT) is not None,
            notice=cookies.notice(sent),
            address=self._address(req),
        )
        if len(req.path.encode()) + len(req.query_string.encode()) > MAX_ADDRESS_BYTES:
            req.context.visit.address = "/"
            said = self._catalogues[language].gettext("The address is too long.")
            raise falcon.HTTPUriTooLong(description=said)

    def _address(self, req: falcon.asgi.Request) -> str:
        """The page that the reader is on, to come back to: where a form was sent, the one that it stood on."""
        if req.method in {"GET", "HEAD"}:
            return f"{req.path}?{req.query_string}" if req.query_string else req.path
        came_from = urlsplit(req.get_header("Referer") or "")
        path = came_from.path.removeprefix(self._cookies.path)
        return local(f"{path}?{came_from.query}" if came_from.query else path)

    async def process_resource(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, params: dict[str, Any]
    ) -> None:
        if not isinstance(resource, Page):
            return
        visit: Visit = req.context.visit
        if self._basic is not None and not visit.session.is_signed_in:
            given = req.get_header("Authorization") or ""
            visit.session = await self._basic.session(given, visit.client_address) or visit.session
        changes = req.method not in {"GET", "HEAD"}
        if changes:
            _refuse_other_sites(req, visit)
            visit.form = await read_form(req)
            if not hmac.compare_digest(visit.form.text("csrf").encode(), visit.session.csrf.encode()):
                raise Stale
        if resource.is_public:
            with suppress(ApiAway, ApiRefused):  # nobody is kept from signing in or out by that
                visit.access = await self._accesses.of(visit.session)
        else:
            visit.access = await self._accesses.of(visit.session)
            if not (visit.reader.may(resource.changing) if changes else visit.reader.may_see(resource.scope)):
                raise NotOffered
        if visit.may(READ):
            visit.verdict = self._verdicts.last(visit.api, visit.reader.key)

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        for name, value in _HEADERS.items():
            resp.set_header(name, value)
        if isinstance(resource, Page) or resource is None:
            # A page shows what its reader may see; a shared computer's cache is no place for it.
            resp.set_header("Cache-Control", "no-store")
        visit = getattr(req.context, "visit", None)
        if visit is not None:
            resp.set_header("X-Request-ID", visit.request_id)


def _refuse_other_sites(req: falcon.asgi.Request, visit: Visit) -> None:
    """Browsers say where a form comes from. What says neither is no browser, and has only its token to show."""
    site, origin = req.get_header("Sec-Fetch-Site"), req.get_header("Origin")
    if site == "same-origin":  # the browser has compared, whatever a proxy makes of the host
        return
    if site not in {None, "none"}:
        raise Forged
    # By the host: behind a proxy that is not said to be trusted, the scheme is not known.
    if origin is not None and urlsplit(origin.lower()).netloc != urlsplit(visit.origin).netloc:
        log.warning("form_of_another_host", origin=origin, host=urlsplit(visit.origin).netloc)
        raise Forged


def sign_in_address(visit: Visit) -> str:
    return f"/sign-in?next={quote(visit.address, safe='')}"
