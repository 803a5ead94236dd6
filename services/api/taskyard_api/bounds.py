"""What a connection may cost before its key is checked: the bytes of a head, time, and a place among the connections.

uvicorn limits only the number of connections, and does not answer with a problem document. Nothing here is done for
each header or chunk: each read checks a few fields, and each connection has one timer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
import uvicorn

from taskyard.domain.errors import Overloaded
from taskyard.domain.messages import message

from .framing import Early, FramedProtocol, Refusing
from .heads import size_of
from .problems import Problem, problem_of

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES = 64 * 1024
# What may stand around a body in chunks: their sizes and extensions, and trailers. A chunk of one byte needs five more.
MAX_AROUND_BYTES = MAX_HEAD_BYTES
_AROUND_A_BYTE = 8
# The rest of a refused body is read and dropped up to this size; then the connection is closed.
MAX_LEFTOVER_BYTES = 64 * 1024**2
LOOK_SECONDS = 10.0
# An incomplete head, or a body of which nothing arrives, is given up at the third look: after 20 to 30 s.
_LOOKS = 3
# For new connections without a request.
_IDLE_LOOKS = 8


_TOO_MUCH_AROUND = Problem(
    400, "malformed_request", message("There is too much around the chunks of the body, or behind them.")
)
_TOO_LARGE = Problem(
    431, "head_too_large", message("The request's head is larger than {limit} bytes.", limit=MAX_HEAD_BYTES)
)


class BoundedProtocol(FramedProtocol):
    """Refuses heads that are too large and requests on too many connections (uvicorn's `limit_concurrency`), and closes
    connections on which a request stalls."""

    _unanswered_bytes = 0
    _shared_bytes = 0  # of the segment in which a head began behind another request
    _head_at_most = 0
    _around_body = 0
    _heard = False
    _owed: object = None
    _looks = 0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, config: uvicorn.Config, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self.limit_concurrency = None  # uvicorn's own answer is plain text
        self._serves = self.app
        overloaded = problem_of(Overloaded(message("There are too many connections.")))
        self._overloaded = Refusing(overloaded, self._problems)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        before: Any = self.cycle
        in_body = before is not None and before.more_body
        self._head_at_most = self._shared_bytes + self._unanswered_bytes + len(data)
        if in_body:
            self._around_body += len(data)
        super().data_received(data)
        cycle: Any = self.cycle
        if cycle is not before and cycle.more_body and not cycle.body:
            cycle.receive = Early(cycle)
        if self._ended:
            self._drop(data)
        elif cycle is None or cycle.scope is not self.scope:  # the head is not complete
            if cycle is before and not in_body:
                self._unanswered_bytes += len(data)
            else:  # most of it may belong to the request before
                self._unanswered_bytes, self._shared_bytes = 0, len(data)
            if self._unanswered_bytes > MAX_HEAD_BYTES:
                self._give_up(_TOO_LARGE)
        elif cycle.response_complete and cycle.more_body:
            self._drop(data)
        else:
            self._unanswered_bytes = self._shared_bytes = 0
            if self._around_body > MAX_AROUND_BYTES and cycle.more_body:
                self._give_up(_TOO_MUCH_AROUND)

    def on_body(self, body: bytes) -> None:
        self._around_body -= (1 + _AROUND_A_BYTE) * len(body)
        super().on_body(body)

    def _drop(self, data: bytes) -> None:
        self._unanswered_bytes += len(data)
        if self._unanswered_bytes > MAX_LEFTOVER_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        if self._head_at_most > MAX_HEAD_BYTES and size_of(self.url, self.headers) > MAX_HEAD_BYTES:
            self._give_up(_TOO_LARGE)
            raise ValueError(_TOO_LARGE.detail)  # stops the parser
        limit = self.config.limit_concurrency
        has_room = limit is None or len(self.connections) < limit
        if not has_room:
            log.warning("too_many_connections")
        self.app = self._serves if has_room else self._overloaded
        self._around_body = 0
        super().on_headers_complete()

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
        if self._ended:
            return None
        if cycle is None or cycle.scope is not scope:
            return scope if cycle is None or cycle.response_complete else None
        return cycle if cycle.more_body and not self.flow.read_paused else None

    def _reads_a_body(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and cycle.scope is self.scope and not cycle.response_complete
