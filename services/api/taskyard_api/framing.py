"""Where a request ends, and what becomes of the answers where the rest is not HTTP.

uvicorn closes a connection at once where its parser gives up, and forgets what was asked before and is being answered;
it takes the trailers behind a body for headers; it loses the body of a request that would like to upgrade; and it
sends chunks to clients of HTTP/1.0, which know none.
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import httptools

from taskyard.domain.messages import Message, message

from . import heads
from .problems import MEDIA_TYPE, TITLES, Problem, Problems
from .wire import Protocol

_LANGUAGE = b"accept-language"
# What asks for another protocol: this one is spoken all the same (RFC 9110, 7.8).
_OF_UPGRADES = frozenset({b"connection", b"upgrade", b"http2-settings"})


class FramedProtocol(Protocol):
    """Answers all that was asked before it closes a connection on which something else follows."""

    _ended = False
    _segment = b""
    _fault: Message | None = None

    def __init__(self, config: Any, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self._problems: Problems = config.problems

    def data_received(self, data: bytes) -> None:
        if not self._ended:
            self._segment = data
            super().data_received(data)
            self._segment = b""

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn always closes; asyncio takes a bool
        """A client may close its side behind a request and still read the answer."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or cycle.chunked_encoding:
            self.transport.close()  # also an endless stream: who closes its side of one has left
        elif cycle.more_body:
            self._give_up(Problem(400, "malformed_request", message("The body ended before it was complete.")))
        else:
            self._close_behind(cycle)
        return not self.transport.is_closing()

    def on_headers_complete(self) -> None:
        self._fault = heads.fault_of(self.parser.get_http_version(), self.url, self.headers)
        if self._fault is not None:
            raise ValueError(self._fault)  # stops the parser, which leads to `send_400_response`
        if self.parser.should_upgrade() and self._get_upgrade() is not None:
            return
        super().on_headers_complete()
        self.headers = _Dropped()  # the scope keeps those of the head
        if self.scope.get("http_version") == "1.0":
            cycle: Any = self.cycle
            cycle.send = _Unchunked(cycle)

    def on_message_complete(self) -> None:
        cycle: Any = self.cycle
        if cycle is not None and cycle.scope is self.scope:  # else the request comes once more, as below
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """The parser has left the body out: once more, as if the request did not ask for another protocol."""
        stopped: Any = sys.exception()
        rest = self._segment[stopped.args[0] :]
        version = self.parser.get_http_version().encode()
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        head += [b"%b: %b" % header for header in self.headers if header[0] not in _OF_UPGRADES]
        if not self.parser.should_keep_alive():
            head.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        super().data_received(b"\r\n".join([*head, b"", rest]))

    def send_400_response(self, msg: str) -> None:
        self._give_up(Problem(400, "malformed_request", self._fault or message("This is not HTTP as it should be.")))

    def _give_up(self, problem: Problem) -> None:
        """What was asked before is answered, and then the connection is closed; what was not is refused."""
        if self._ended or self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self._ended = True
            # The rest of a body whose request was answered already gets no second answer.
            if cycle is None or not cycle.more_body:
                self.transport.write(_refusal(problem, self._problems))
            self.transport.close()
        elif not cycle.more_body:
            self._close_behind(cycle)
        elif self.pipeline:  # its turn has not come
            self._close_behind(cycle)
            cycle.more_body = False
            self.pipeline[0] = (cycle, Refusing(problem, self._problems))
        else:
            self._ended = True
            has_begun, cycle.disconnected = cycle.response_started, True
            cycle.message_event.set()
            if not has_begun:
                self.transport.write(_refusal(problem, self._problems))
            self.transport.close()

    def _close_behind(self, cycle: Any) -> None:
        """Ends reading; uvicorn closes the connection behind the answer to the last request."""
        self._ended = True
        cycle.keep_alive = False


class _Dropped(list[tuple[bytes, bytes]]):
    """Where trailers go: nowhere."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Keeps nothing: what is kept costs a multiple of what was sent."""


class Early:
    """`receive` of a request whose body has not arrived: Falcon waits for a piece of the body before it looks at the
    request, so the first piece is empty. A refusal is then sent before the body, and not after `100 Continue`."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._receive = cycle.receive
        self._has_begun = False
        self._keep_alive = cycle.keep_alive
        if cycle.waiting_for_100_continue:
            cycle.keep_alive = False  # without `100 Continue` the client may send the body or leave it out

    async def __call__(self) -> Any:
        if not self._has_begun:
            self._has_begun = True
            return {"type": "http.request", "body": b"", "more_body": True}
        if self._cycle.waiting_for_100_continue and not self._cycle.response_started:
            self._cycle.keep_alive = self._keep_alive
        return await self._receive()


class _Unchunked:
    """`send` of an answer to HTTP/1.0: without a length it ends with the connection (RFC 9112, 6.1 and 6.3)."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._send = cycle.send
        self._has_length = True

    async def __call__(self, message: Any) -> None:
        cycle = self._cycle
        if message["type"] == "http.response.start":
            self._has_length = any(name.lower() == b"content-length" for name, _ in message["headers"])
            if not self._has_length:
                cycle.chunked_encoding, cycle.keep_alive = False, False
        elif not self._has_length:
            cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)


class Refusing:
    """The application for a request that is refused before the real one is reached."""

    def __init__(self, problem: Problem, problems: Problems) -> None:
        self._problem = problem
        self._problems = problems

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        language = next((value.decode("latin-1") for name, value in scope["headers"] if name == _LANGUAGE), None)
        head, body = _answer(self._problem, self._problems, language)
        raw = [(name.lower().encode(), value.encode()) for name, value in head.items()]
        await send({"type": "http.response.start", "status": self._problem.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def _refusal(problem: Problem, problems: Problems) -> bytes:
    """In English: the head may not have been read."""
    head, body = _answer(problem, problems, None)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {problem.status} {TITLES[problem.status]}\r\n{lines}\r\n".encode() + body


def _answer(problem: Problem, problems: Problems, accept_language: str | None) -> tuple[dict[str, str], bytes]:
    request_id = str(uuid4())
    body, language = problems.document(problem, request_id, accept_language)
    return {
        "content-language": language,
        "vary": "Accept-Language",
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "connection": "close",
        **problem.headers,
    }, body
