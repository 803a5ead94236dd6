"""What readers are told where a page cannot be shown; the only place that maps errors to statuses."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import falcon
import falcon.asgi
import structlog

from taskyard_client.errors import ApiAway, ApiRefused, ClientError

from .access import READ, Accesses
from .addresses import local
from .basic import Refused
from .rendering import Rendering
from .visits import Forged, NotOffered, SignInNeeded, Stale, Visit, sign_in_address

if TYPE_CHECKING:
    from taskyard.telemetry.reports import Reports

log = structlog.get_logger(__name__)

# Fields that no page repeats.
_SECRET = frozenset({"csrf", "key", "password"})


class Problems:
    def __init__(self, rendering: Rendering, accesses: Accesses, reports: Reports) -> None:
        self._rendering = rendering
        self._accesses = accesses
        self._reports = reports

    async def answer(self, req: Any, resp: falcon.asgi.Response, error: Exception, params: object) -> None:
        """Falcon's handler for all errors."""
        visit: Visit = req.context.visit
        resp.sse = None
        match error:
            case Refused():
                self._refuse(resp, error)
                return
            case SignInNeeded():
                self._send_to_sign_in(req, resp, visit)
                return
            case ApiRefused(status=401) if visit.session.key:
                # Revoked or expired. Without the key, the sign-in form is shown instead of this error again.
                self._accesses.forget(visit.session.key)
                visit.cookies.end_session(resp)
                visit.say(resp, "failed", str(error.args[0]))
                self._send_to_sign_in(req, resp, visit)
                return
        if not isinstance(error, ApiAway):
            with suppress(ClientError):  # which may be the error itself
                visit.access = visit.access or await self._accesses.of(visit.session)  # for the navigation
        if isinstance(error, Stale):
            self._offer_again(req, resp, visit)
            return
        status, title, said, request_id = self._told(error, visit)
        if isinstance(error, NotOffered) and not visit.may(READ):
            # Signing in leads to the first page, which takes this scope, too.
            is_first = req.path == "/" and req.method in {"GET", "HEAD"}
            self._rendering.show(resp, visit, "no_read.html", status=status, said=said, is_first=is_first)
            return
        if status >= 500:
            log.error("page_failed", method=req.method, path=req.path, status=status, exc_info=error)
        if status == 500:
            self._reports.unexpected(error, method=req.method, route=str(req.uri_template))
        faults = error.errors if isinstance(error, ApiRefused) else []
        code = error.code if isinstance(error, ApiRefused | ApiAway) else ""
        self._rendering.show(
            resp,
            visit,
            "error.html",
            status=status,
            title=title,
            said=said,
            code=code,
            faults=faults,
            error_id=request_id,
            back=_back(req, visit),
        )

    def _refuse(self, resp: falcon.asgi.Response, error: Refused) -> None:
        """No page: whoever sent a password with the request is a program."""
        resp.status = falcon.HTTP_TOO_MANY_REQUESTS if error.seconds else falcon.HTTP_UNAUTHORIZED
        if error.seconds:
            resp.set_header("Retry-After", str(math.ceil(error.seconds)))
        resp.set_header("WWW-Authenticate", 'Basic realm="Taskyard", charset="UTF-8"')
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "Too many tries.\n" if error.seconds else "The name or the password is wrong.\n"

    def _offer_again(self, req: Any, resp: falcon.asgi.Response, visit: Visit) -> None:
        """Nothing that was typed is lost: the fields are shown once more, with a token of this session."""
        self._rendering.show(
            resp,
            visit,
            "stale.html",
            status=403,
            action=req.path if not req.query_string else f"{req.path}?{req.query_string}",
            fields=[(name, value) for name, value in visit.form.fields() if name not in _SECRET],
            is_complete=not any(name in _SECRET for name, _ in visit.form.fields()),
        )

    def _told(self, error: Exception, visit: Visit) -> tuple[int, str, str, str]:
        _ = visit.words.gettext
        own = visit.request_id
        match error:
            case ApiRefused():
                return _refused(error, visit)
            case ApiAway() if error.code:
                return 503, _("Not possible now"), str(error), own
            case ApiAway():
                return 503, _("The API does not answer"), str(error), own
            case NotOffered():
                return 403, _("Not allowed"), _("Your sign-in does not allow this."), own
            case Forged():
                return (
                    403,
                    _("Not sent from here"),
                    _("The form did not come from this console, or a proxy changes the name of its host."),
                    own,
                )
            case falcon.HTTPNotFound() | falcon.HTTPMethodNotAllowed():
                return 404, _("Not found"), _("There is nothing at this address."), own
            case falcon.HTTPError():
                return error.status_code, _("Not understood"), error.description or error.title or "", own
        return 500, _("Something went wrong here"), _("The error was recorded; the request id leads to it."), own

    def _send_to_sign_in(self, req: Any, resp: falcon.asgi.Response, visit: Visit) -> None:
        if visit.is_fragment or req.path == "/live":
            resp.status = falcon.HTTP_UNAUTHORIZED  # no page is waiting for a form
            return
        # A form that was not sent is lost; its page is where the reader was.
        visit.go(resp, sign_in_address(visit) if req.method in {"GET", "HEAD"} else "/sign-in")


def _back(req: Any, visit: Visit) -> str:
    """The page of ours that led here, as the browser says; else the first one."""
    came, base = urlsplit(req.get_header("Referer") or ""), visit.cookies.path
    if came.netloc.lower() != urlsplit(visit.origin).netloc or not came.path.startswith(f"{base}/"):
        return "/"
    path = f"{came.path[len(base) :]}{'?' if came.query else ''}{came.query}"
    return "/" if path == visit.address else local(path)


def _refused(error: ApiRefused, visit: Visit) -> tuple[int, str, str, str]:
    _, request_id = visit.words.gettext, error.request_id or visit.request_id
    if error.status == 401 and visit.session.is_signed_in:
        # No reader can mend it, and signing in again would not.
        log.error("own_key_refused", setting="TASKYARD_CONSOLE_API_KEY", code=error.code)
        said = _("The API refuses the console's own key. Tell whoever runs the console.")
        return 503, _("The console cannot reach the API"), said, request_id
    return error.status or 400, _("The API refused"), str(error.args[0]), request_id
