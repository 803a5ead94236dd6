"""The middleware that every request passes: ids, key, scope, rate limit, accepted media types, metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import falcon
import falcon.asgi
import structlog

from taskyard.domain.faults import MAX_FAULTS
from taskyard.domain.messages import Choice, message
from taskyard.telemetry.metrics import OTHER

from .auth import Keys, Scope
from .limits import RateLimit
from .meters import RequestMeters
from .operations import AUDITED, Operation, operations_of
from .patience import begin_request
from .refusals import Fault, Invalid, NotAcceptable, RateLimited, Unauthenticated
from .request_counts import RequestCounts
from .requests import Networks, Request, client_address, person_in

if TYPE_CHECKING:
    from taskyard.telemetry.spans import Tracer

log = structlog.get_logger(__name__)

# Browsers send 200 bytes; looking for the best match takes a microsecond for each.
_MAX_ACCEPT = 2_000


class Gate:
    """Falcon middleware."""

    def __init__(
        self,
        keys: Keys,
        rate: RateLimit,
        meters: RequestMeters,
        counts: RequestCounts,
        trusted: Networks = (),
        tracer: Tracer | None = None,
    ) -> None:
        self._keys = keys
        self._rate = rate
        self._meters = meters
        self._counts = counts
        self._trusted = trusted
        self._tracer = tracer
        self._operations: dict[type, dict[str, Operation]] = {}

    async def process_request(self, req: Request, resp: falcon.asgi.Response) -> None:
        begin_request()
        req.identify(self._tracer)
        context = req.context
        structlog.contextvars.bind_contextvars(request_id=context.request_id, trace_id=context.traceparent[3:35])
        if context.span is not None:
            structlog.contextvars.bind_contextvars(span_id=context.span.span_id)
        self._meters.in_progress += 1
        if _has_two_spellings(req.scope["raw_path"]):
            raise falcon.HTTPNotFound

    async def process_resource(
        self, req: Request, resp: falcon.asgi.Response, resource: object, params: dict[str, Any]
    ) -> None:
        kind = type(resource)
        if kind not in self._operations:
            self._operations[kind] = operations_of(kind)
        declared = self._operations[kind].get("GET" if req.method == "HEAD" else req.method)
        if declared is None:
            return
        if declared.needs_key:
            await self._admit(req, declared.scope)
        if declared.query is None and req.query_string:
            _refuse_query(req)
        accept = req.header(b"accept")
        if accept is not None and accept not in {b"*/*", b"application/json"}:
            _check_accept(req, declared)

    async def _admit(self, req: Request, scope: Scope | None) -> None:
        try:
            caller = await self._keys.authenticate(req.header(b"authorization"))
        except Unauthenticated as e:
            self._meters.auth_failures[e.code].inc()
            log.info("key_refused", code=e.code, client=client_address(req, self._trusted), path=req.path)
            raise
        req.context.caller = caller
        wait = self._rate.take(caller.key_id)
        if wait > 0:
            self._meters.rate_limited[str(scope or OTHER)].inc()
            raise RateLimited(wait)
        if scope is not None:
            caller.require(scope)
        if scope in AUDITED:
            req.context.address = client_address(req, self._trusted)
            req.context.on_behalf_of = person_in(req.header(b"x-on-behalf-of"))

    async def process_response(
        self, req: Request, resp: falcon.asgi.Response, resource: object, succeeded: bool
    ) -> None:
        context = req.context
        context.leave()
        resp.set_header("X-Request-ID", context.request_id)
        resp.set_header("traceparent", context.traceparent)
        self._meters.in_progress -= 1
        seconds = time.perf_counter() - context.started
        self._meters.answered(req.method, req.uri_template, resp.status_code, seconds)
        self._counts.count(req.method, req.uri_template, resp.status_code, seconds)
        # Without a good key no span is sent: a stranger could fill the receiver.
        if context.span is not None and hasattr(context, "caller"):
            context.span.answered(req.uri_template, resp.status_code)


def _has_two_spellings(raw_path: bytes) -> bool:
    """Whether a proxy's rules may take this for another address: Falcon drops slashes in front, and decodes %2F."""
    return raw_path.startswith(b"//") or (b"%" in raw_path and b"%2f" in raw_path.lower())


def _refuse_query(req: Request) -> None:
    """An unknown parameter is a mistake, not something to ignore. Raises Invalid."""
    if req.params:
        names = list(req.params)[:MAX_FAULTS]
        raise Invalid([Fault(f"?{name}", message("This call takes no query parameters.")) for name in names])


def _check_accept(req: Request, declared: Operation) -> None:
    """Files are sent with their own type; for everything else the caller has to accept what is declared."""
    forms = declared.media_types
    if "application/octet-stream" in forms:
        return
    if len(req.accept) > _MAX_ACCEPT:
        raise NotAcceptable(message("The header Accept is longer than {limit} bytes.", limit=_MAX_ACCEPT))
    if not any(req.client_accepts(form) for form in forms) and not req.client_accepts("application/problem+json"):
        raise NotAcceptable(message("The answer comes as {options}.", options=Choice(sorted(forms))))
