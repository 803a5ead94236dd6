"""What a connection may cost before its key is checked: the bytes of a head, time, and a place among the connections.

uvicorn limits only the number of connections, and does not answer with a problem document. Nothing here is done for
each header or chunk: each read checks a few fields, and each connection has one timer.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import structlog
import uvicorn

from taskyard.domain.errors import Overloaded

from .problems import MEDIA_TYPE, TITLES, Problem, problem_of
from .wire import Protocol

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES = 64 * 1024
# The rest of a refused body is read and dropped up to this size; then the connection is closed.
MAX_LEFTOVER_BYTES = 64 * 1024**2
LOOK_SECONDS = 10.0
# An incomplete head, or a body of which nothing arrives, is given up at the third look: after 20 to 30 s.
_LOOKS = 3
# For new connections without a request.
_IDLE_LOOKS = 8


class BoundedProtocol(Protocol):
    """Refuses heads that are too large and requests on too many connections (uvicorn's `limit_concurrency`), and closes
    connections on which a request stalls."""

    _unanswered_bytes = 0
    _heard = False
    _owed: object = None
    _looks = 0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, config: uvicorn.Config, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self.limit_concurrency = None  # uvicorn's own answer is plain text
        self._serves = self.app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)
        cycle: Any = self.cycle
        if cycle is None or cycle.scope is not self.scope:  # the head is not complete
            self._unanswered_bytes += len(data)
            if self._unanswered_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "head_too_large", f"The request's head is larger than {MAX_HEAD_BYTES} bytes.")
        elif cycle.response_complete and cycle.more_body:
            self._unanswered_bytes += len(data)
            if self._unanswered_bytes > MAX_LEFTOVER_BYTES:
                self.transport.close()
        else:
            self._unanswered_bytes = 0

    def on_headers_complete(self) -> None:
        limit = self.config.limit_concurrency
        has_room = limit is None or len(self.connections) < limit
        self.app = self._serves if has_room else _overloaded
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed_request", "This is not HTTP as it should be.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if (
            cycle is None or cycle.response_complete
        ):  # else an earlier answer is being sent, and this would be written into it
            request_id = str(uuid4())
            body = Problem(status, code, detail).document(request_id)
            head = (
                f"HTTP/1.1 {status} {TITLES[status]}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
                f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _look(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        owed, heard, self._heard = self._what_is_owed(), self._heard, False
        if owed is None or owed is not self._owed or (heard and self._reads_a_body()):
            self._looks = 0
        self._owed = owed
        self._looks += 1
        if owed is not None and self._looks >= (_IDLE_LOOKS if owed is self else _LOOKS):
            self.transport.close()
            return
        self._timer = self.loop.call_later(LOOK_SECONDS, self._look)

    def _what_is_owed(self) -> object:
        """What the client has yet to send: its first request (`self`), the rest of a head or a body; None: nothing."""
        cycle: Any = self.cycle
        scope: Any = self.scope
        if scope is None:
            return self
        if cycle is None or cycle.scope is not scope:
            return scope
        return cycle if cycle.more_body and not self.flow.read_paused else None

    def _reads_a_body(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and cycle.scope is self.scope and not cycle.response_complete


async def _overloaded(scope: Any, receive: Any, send: Any) -> None:
    """The application for requests beyond the limit of connections."""
    request_id = str(uuid4())
    log.warning("too_many_connections", request_id=request_id)
    problem = problem_of(Overloaded("There are too many connections."))
    body = problem.document(request_id)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "connection": "close",
        **problem.headers,
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
