"""The request: its ids, its caller, its body read within a limit."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import AsyncIterator, Sequence
from random import getrandbits
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import falcon.asgi
from uuid_utils import uuid7

from taskyard.domain.messages import message
from taskyard.store.audit import Actor

from .auth import Caller
from .refusals import Fault, Invalid, Malformed, TooLarge
from .room import Place

if TYPE_CHECKING:
    from taskyard.telemetry.spans import RequestSpan, Tracer

# Characters of the name of whom a key is used for.
MAX_PERSON = 128

_PROBES = "/health/"
_REQUEST_ID = re.compile(rb"[\x20-\x7e]{1,128}")
_ENCODED = re.compile(rb"(?:[ -$&-~]|%[0-9A-Fa-f]{2})+")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class RequestContext:
    """What belongs to one request. `caller` is set once the key has been checked, `address` and `on_behalf_of` in calls
    that the audit log may record. `places` are held until the request is answered. `span` is that of the request, where
    it is traced.
    """

    __slots__ = ("address", "caller", "on_behalf_of", "places", "request_id", "span", "started", "traceparent")

    address: str
    caller: Caller
    on_behalf_of: str | None
    places: list[Place]
    request_id: str
    span: RequestSpan | None
    traceparent: str
    started: float

    def begin(self, caller: Caller) -> None:
        """For a request of a known caller that brings neither an id nor a trace."""
        self.started, self.places, self.caller = time.perf_counter(), [], caller
        self.request_id, self.traceparent, self.span = str(uuid7()), new_traceparent(), None

    def leave(self) -> None:
        while self.places:
            self.places.pop().leave()


class Request(falcon.asgi.Request):
    context_type = RequestContext
    context: RequestContext  # type: ignore[assignment]  # made by `context_type`

    def __init__(self, scope: dict[str, Any], receive: Any, first_event: Any = None, options: Any = None) -> None:
        super().__init__(scope, receive, first_event, options)
        self._events = receive
        self._first = first_event

    def identify(self, tracer: Tracer | None = None) -> None:
        """Takes the request id and the trace from the headers, or makes them. Probes are not traced."""
        context, headers = self.context, self._asgi_headers
        context.started, context.places = time.perf_counter(), []
        given = headers.get(b"x-request-id")
        context.request_id = given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else str(uuid7())
        trace = headers.get(b"traceparent")
        passed_on = trace.decode() if trace is not None and _TRACEPARENT.fullmatch(trace) else None
        context.span = None
        if tracer is not None and not self.path.startswith(_PROBES):
            context.span = tracer.request(
                self.method, self.path, scheme=self.scheme, traceparent=passed_on, request_id=context.request_id
            )
            context.traceparent = context.span.traceparent
        else:
            context.traceparent = passed_on or new_traceparent()

    def actor(self) -> Actor:
        """The caller as the audit log knows it, in calls with scope `manage` or `admin`."""
        context = self.context
        caller = context.caller
        return Actor(caller.name, caller.key_id, context.address, context.request_id, context.on_behalf_of)

    def header(self, name: bytes) -> bytes | None:
        """A header by its name in lower case, as it was sent."""
        return self._asgi_headers.get(name)

    def whole_body(self, limit: int) -> bytes | None:
        """The body where it has arrived in one piece, as almost always. Raises TooLarge, Malformed."""
        event = self._first
        if event is None or event.get("more_body"):
            return None
        whole: bytes = event.get("body", b"")
        if len(whole) > limit:
            raise TooLarge(limit)
        self._check_length(len(whole))
        return whole

    def expected_bytes(self, limit: int) -> int:
        """How long the body is at most. Raises TooLarge where it says that it is longer than `limit`."""
        declared = self.content_length
        if declared is not None and declared > limit:
            raise TooLarge(limit)
        return limit if declared is None else declared

    async def body(self, limit: int) -> bytearray:
        """The whole body. Raises TooLarge beyond `limit` bytes, Malformed where it ends too early."""
        whole = bytearray()  # joining pieces would hold them twice
        async for chunk in self.chunks(limit):
            whole += chunk
        return whole

    async def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body in pieces, counted while it is read: Content-Length may be wrong or missing."""
        self.expected_bytes(limit)
        event, read = self._first or await self._events(), 0
        while True:
            if event["type"] == "http.disconnect":
                raise Malformed(message("The body ended before it was complete."))
            chunk = event.get("body", b"")
            read += len(chunk)
            if read > limit:
                raise TooLarge(limit)
            if chunk:
                yield chunk
            if not event.get("more_body"):
                break
            event = await self._events()
        self._check_length(read)

    async def disconnected(self) -> None:
        """Returns when the client has disconnected; the body must have been read before."""
        while (await self._events())["type"] != "http.disconnect":
            pass

    def _check_length(self, read: int) -> None:
        declared = self.content_length
        if declared is not None and declared != read:
            raise Malformed(message("The body is not as long as Content-Length says."))


def new_traceparent() -> str:
    drawn = f"{getrandbits(192):048x}"
    return f"00-{drawn[:32]}-{drawn[32:]}-00"  # an id of zeros is none; it comes once in 2 ** 64 requests


def person_in(given: bytes | None) -> str | None:
    """X-On-Behalf-Of. Raises Invalid."""
    if given is None:
        return None
    try:
        name = unquote_to_bytes(given).decode() if _ENCODED.fullmatch(given) else ""
    except UnicodeDecodeError:
        name = ""
    if not (1 <= len(name) <= MAX_PERSON and name.isprintable()):
        told = message("Must have 1 to {limit} printable characters, in percent-encoded UTF-8.", limit=MAX_PERSON)
        raise Invalid([Fault("X-On-Behalf-Of", told)])
    return name


Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


def trusted_networks(addresses: Sequence[str]) -> Networks:
    """Raises ValueError that names the text which is neither an address nor a network."""
    return [ipaddress.ip_network(address, strict=False) for address in addresses]


def client_address(req: falcon.asgi.Request, trusted: Networks) -> str:
    """The client's address. `X-Forwarded-For` is read from the right, past every trusted address: only what trusted
    proxies wrote is believed."""
    client = req.scope.get("client")
    address = client[0] if client else ""
    hops = [hop.strip() for hop in (req.get_header("X-Forwarded-For") or "").split(",") if hop.strip()]
    while hops and _is_in(address, trusted):
        address = hops.pop()
    return str(address)


def _is_in(address: str, networks: Networks) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
