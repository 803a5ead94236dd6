"""The request id and the trace of what the application is just doing, passed on to the API and so to the task."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NOTHING: Mapping[str, str] = {}
_PASSED: ContextVar[Mapping[str, str]] = ContextVar("taskyard_passed_on", default=_NOTHING)


@contextmanager
def passing_on(*, request_id: str | None = None, traceparent: str | None = None) -> Iterator[None]:
    """Calls within the block carry these (`X-Request-ID`, W3C `traceparent`), in this thread or asyncio task.

    What is not well-formed is left out, as it came from outside: the API then makes its own.
    """
    given = {}
    if request_id is not None and _REQUEST_ID.fullmatch(request_id):
        given["X-Request-ID"] = request_id
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
        given["traceparent"] = traceparent
    token = _PASSED.set(given)
    try:
        yield
    finally:
        _PASSED.reset(token)


def passed_on() -> dict[str, str]:
    """The headers of a call. Where the application uses OpenTelemetry, the trace is that of the current span."""
    headers = dict(_PASSED.get())
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is not None:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        if "traceparent" in carrier:
            headers["traceparent"] = carrier["traceparent"]
    return headers
