"""Maps errors to HTTP statuses; the only place that does. Every refusal is an RFC 9457 problem document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import falcon
import falcon.asgi
import orjson
import structlog

from taskyard.catalogue.secrets import SecretsUnreadable
from taskyard.domain.errors import (
    CacheUnavailable,
    Conflict,
    KeyReused,
    LedgerUnavailable,
    NotFound,
    NotUnique,
    Overloaded,
    Refused,
    Unavailable,
)
from taskyard.domain.messages import Message, message, verbatim
from taskyard.lifecycle.idempotency import AnswerPending
from taskyard.schedules.changes import NameTaken
from taskyard.storage.interface import StorageUnavailable
from taskyard.telemetry.reports import NO_REPORTS, Reports

from .ledger_pool import NotMigrated
from .refusals import (
    ConversionConflict,
    Fault,
    Invalid,
    KeyNameTaken,
    Malformed,
    MissingScope,
    NotAcceptable,
    NoTaskTypes,
    PreconditionFailed,
    QueueNotAllowed,
    RangeNotSatisfiable,
    RateLimited,
    Stopping,
    TaskExists,
    TooLarge,
    TypeNotRegistered,
    Unauthenticated,
    UnsupportedMedia,
)
from .requests import Request
from .translation import Catalogue, Telling, telling

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: message("The request cannot be understood"),
    401: message("An API key is needed"),
    403: message("This key may not do that"),
    404: message("Not found"),
    405: message("This address does not know the method"),
    406: message("Not in a form you accept"),
    409: message("The present state does not allow it"),
    412: message("A condition does not hold"),
    413: message("Too large"),
    415: message("Not in a form that is understood"),
    416: message("No such range"),
    422: message("The request is not valid"),
    429: message("Too many requests"),
    431: message("Too large a head"),
    500: message("Something went wrong here"),
    503: message("Not available at the moment"),
}
_ERROR = message("Error")
_IN_ENGLISH = Telling()
_RETRY_SOON = {"Retry-After": "1"}
_RETRY_LATER = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    detail: Message
    headers: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[Fault] = ()

    def document(self, request_id: str, told: Telling = _IN_ENGLISH, support_url: str | None = None) -> bytes:
        shown = {
            "type": f"urn:taskyard:problem:{self.code}",
            "title": told.tell(TITLES.get(self.status, _ERROR)),
            "status": self.status,
            "detail": told.tell(self.detail),
            "code": self.code,
            "request_id": request_id,
            **self.extra,
        }
        if self.faults:
            shown["errors"] = [{"pointer": f.pointer, "message": told.tell(f.message)} for f in self.faults]
        if support_url is not None:
            shown["support_url"] = support_url
        return orjson.dumps(shown, option=orjson.OPT_UTC_Z)


_STATUS: dict[type[Refused], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    MissingScope: 403,
    QueueNotAllowed: 403,
    NotFound: 404,
    NotAcceptable: 406,
    Conflict: 409,
    NotUnique: 409,
    TaskExists: 409,
    AnswerPending: 409,
    ConversionConflict: 409,
    NameTaken: 409,
    KeyNameTaken: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    UnsupportedMedia: 415,
    RangeNotSatisfiable: 416,
    Invalid: 422,
    KeyReused: 422,
    RateLimited: 429,
    Overloaded: 503,
    NoTaskTypes: 503,
    Stopping: 503,
    TypeNotRegistered: 503,
}


def problem_of(error: BaseException) -> Problem:
    """The problem document of an error. An unexpected error is a 500 that shows its request id only."""
    match error:
        case falcon.HTTPError():
            return _of_falcon(error)
        case NotMigrated():
            detail = message("The database is not migrated: run `taskyard-api migrate`.")
            return Problem(503, "not_migrated", detail, _RETRY_LATER)
        case LedgerUnavailable():
            return Problem(503, "ledger_unavailable", message("The database does not answer."), _RETRY_LATER)
        case CacheUnavailable():
            detail = message("The Redis that keeps the lists of models does not answer.")
            return Problem(503, "cache_unavailable", detail, _RETRY_LATER)
        case Unavailable() | StorageUnavailable():
            return Problem(503, "unavailable", message("A part this call needs does not answer."), _RETRY_LATER)
        case SecretsUnreadable():
            detail = message("This installation has no keys for secret parameters.")
            return Problem(503, "secrets_not_configured", detail, _RETRY_LATER)
        case Refused():
            return _of_refusal(error)
    return Problem(500, "internal_error", message("The error was recorded; the request id leads to it."))


def _of_refusal(error: Refused) -> Problem:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 400)
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    faults: Sequence[Fault] = ()
    match error:
        case Unauthenticated():
            headers = {"WWW-Authenticate": 'Bearer realm="taskyard"'}
        case MissingScope():
            extra = {"scope": error.scope}
        case Conflict():
            extra = {"state": error.state}
        case KeyReused():
            faults = [Fault("Idempotency-Key", error.message)]
        case NotUnique(holder=task_id) | ConversionConflict(task_id=task_id) if task_id is not None:
            extra = {"task_id": str(task_id)}
        case TaskExists() if error.task is not None:
            extra = {"task": error.task}
        case Invalid():
            faults = error.faults
        case RangeNotSatisfiable():
            headers = {"Content-Range": f"bytes */{error.size}"}
        case RateLimited() | Overloaded():
            headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
        case AnswerPending():
            headers = _RETRY_SOON
        case NoTaskTypes() | TypeNotRegistered():
            headers = _RETRY_LATER
    return Problem(status, error.code, error.message, headers, extra, faults)


def _of_falcon(error: falcon.HTTPError) -> Problem:
    headers = dict(error.headers or {})
    match error:
        case falcon.HTTPNotFound():
            return Problem(404, "not_found", message("There is nothing at this address."), headers)
        case falcon.HTTPMethodNotAllowed():
            return Problem(405, "method_not_allowed", message("Allow lists the methods."), headers)
        case falcon.HTTPNotAcceptable():
            return Problem(406, "not_acceptable", message("The answer is JSON."), headers)
        case falcon.HTTPPayloadTooLarge():
            return Problem(413, "body_too_large", message("The body is too large."), headers)
        case falcon.HTTPUnsupportedMediaType():
            return Problem(415, "unsupported_media_type", message("Unknown media type."), headers)
    if error.status_code < 500:
        told = error.description or error.title
        detail = verbatim(told) if told else message("The request cannot be understood.")
        return Problem(error.status_code, "malformed_request", detail, headers)
    return Problem(error.status_code, "internal_error", message("The error was recorded."), headers)


class Problems:
    """Answers errors, in the caller's language and with the address where people find help."""

    def __init__(
        self, catalogues: Mapping[str, Catalogue], support_url: str | None, reports: Reports = NO_REPORTS
    ) -> None:
        self._catalogues = catalogues
        self._support_url = support_url
        self._reports = reports

    async def answer(self, req: Request, resp: falcon.asgi.Response, error: Exception, params: object) -> None:
        """Falcon's handler for all errors."""
        problem = self.met(error, method=req.method, path=req.path, route=str(req.uri_template))
        body, language = self.document(problem, req.context.request_id, req.get_header("Accept-Language"))
        resp.status = problem.status
        resp.content_type = MEDIA_TYPE
        resp.data = body
        resp.text, resp.media, resp.stream, resp.sse = None, None, None, None
        resp.set_header("Content-Language", language)
        resp.append_header("Vary", "Accept-Language")
        for name, value in problem.headers.items():
            resp.set_header(name, value)

    def met(self, error: BaseException, *, method: str, path: str, route: str) -> Problem:
        """The problem of an error, which is logged where it is ours."""
        problem = problem_of(error)
        if problem.status == 500:
            log.error("request_failed", method=method, path=path, exc_info=error)
            self._reports.unexpected(error, method=method, route=route)
        elif problem.status == 503:
            log.warning("request_unavailable", code=problem.code, path=path, error=str(error))
        return problem

    def document(self, problem: Problem, request_id: str, accept_language: str | None = None) -> tuple[bytes, str]:
        """The problem document, and its language."""
        told = telling(self._catalogues, accept_language)
        return problem.document(request_id, told, self._support_url), told.language
