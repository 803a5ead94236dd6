"""The server: who calls, what is called, and the faults that a test asks for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from . import errors, fields
from .book import Book, Invalid
from .tokens import EMAIL, Refused, Tokens

_SHEETS = {"https://www.googleapis.com/auth/spreadsheets", "https://www.googleapis.com/auth/drive"}
_DRIVE = {"https://www.googleapis.com/auth/drive.metadata.readonly", "https://www.googleapis.com/auth/drive"}


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    body: Any

    @property
    def kinds(self) -> list[str]:
        """The names of the requests of a batchUpdate."""
        return [name for request in self.body["requests"] for name in request]


@dataclass(frozen=True)
class Fault:
    """What is answered instead. `does`: the call takes effect all the same; `seconds`: after so long."""

    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    does: bool = False
    seconds: float = 0.0


@dataclass
class Google:
    """`faults` are for calls whose method and path hold the text, `GET` or `:batchUpdate`, one after the other."""

    url: str
    tokens: Tokens
    books: dict[str, Book] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    token_calls: int = 0
    faults: list[tuple[str, Fault | None]] = field(default_factory=list)
    disabled: bool = False
    before: Callable[[Call], None] = lambda _: None

    def book(self, *, book_id: str = "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms", shared: str = "editor") -> Book:
        """A new spreadsheet; `shared` with the service account as an editor, a reader or not."""
        made = Book(book_id)
        (made.editors if shared == "editor" else made.readers if shared == "reader" else set()).add(EMAIL)
        self.books[book_id] = made
        return made

    def fail(self, *faults: Fault | None, on: str = "/v4/") -> None:
        """None lets a call through."""
        self.faults += [(on, fault) for fault in faults]

    def fault_for(self, line: str) -> Fault | None:
        for at, (text, fault) in enumerate(self.faults):
            if text in line:
                del self.faults[at]
                return fault
        return None

    def answer(self, call: Call, authorization: str) -> tuple[int, Any]:
        scopes = self.tokens.scopes_of(authorization)
        if scopes is None:
            return 401, errors.body(401)
        is_drive = call.path.startswith("/drive/")
        if not scopes & (_DRIVE if is_drive else _SHEETS):
            return 403, errors.body(403, reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT")
        if self.disabled:
            return 403, errors.body(403, "The API has not been used in project 1.", reason="SERVICE_DISABLED")
        try:
            status, found = self._drive(call) if is_drive else self._sheets(call)
            return status, fields.cut(found, fields.parse(call.query.get("fields", ""))) if status == 200 else found
        except Invalid as e:
            return 400, errors.body(400, str(e))

    def _drive(self, call: Call) -> tuple[int, Any]:
        book = self.books.get(call.path.removeprefix("/drive/v3/files/"))
        if book is None or EMAIL not in book.readers | book.editors:
            return 404, errors.of_drive(404, "notFound", "File not found.")
        return 200, {"mimeType": book.mime_type, "capabilities": {"canEdit": EMAIL in book.editors}}

    def _sheets(self, call: Call) -> tuple[int, Any]:
        book_id, _, rest = call.path.removeprefix("/v4/spreadsheets/").partition("/")
        book_id, _, verb = book_id.partition(":")
        book = self.books.get(book_id)
        if book is None:
            return 404, errors.body(404)
        if EMAIL not in (book.editors if call.method != "GET" else book.editors | book.readers):
            return 403, errors.body(403)
        if not book.mime_type.endswith("google-apps.spreadsheet"):
            refused = "This operation is not supported for this document"
            return 400, errors.body(400, refused, status="FAILED_PRECONDITION")
        match call.method, verb, unquote(rest).partition("/")[::2]:
            case "GET", "", ("", ""):
                return 200, book.json()
            case "GET", "", ("values", place):
                assert call.query["valueRenderOption"] == "FORMATTED_VALUE"
                return 200, book.values(place)
            case "PUT", "", ("values", place):
                assert call.query["valueInputOption"] == "RAW"
                book.update(place, call.body["values"])
                return 200, {"updatedRows": len(call.body["values"])}
            case "POST", "batchUpdate", ("", ""):
                book.batch(call.body["requests"])
                return 200, {"spreadsheetId": book.id, "replies": [{}]}
        return 404, errors.body(404)


@contextmanager
def google_server() -> Iterator[Google]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            with lock:
                fault = google.fault_for(f"{self.command} {parts.path}")
            if fault is not None:
                time.sleep(fault.seconds)
                if not fault.does:
                    self._say(
                        fault.status, errors.body(fault.status) if fault.body is None else fault.body, fault.headers
                    )
                    return
            with lock:
                status, body = self._token(content) if parts.path == "/token" else self._called(parts, content)
            if fault is None:
                self._say(status, body)
            else:
                self._say(fault.status, errors.body(fault.status) if fault.body is None else fault.body, fault.headers)

        do_GET = do_PUT = do_POST  # noqa: N815

        def _token(self, content: bytes) -> tuple[int, Any]:
            google.token_calls += 1
            try:
                return 200, google.tokens.grant(dict(parse_qsl(content.decode())))
            except Refused as e:
                return 400, {"error": e.args[0], "error_description": e.args[1]}

        def _called(self, parts: Any, content: bytes) -> tuple[int, Any]:
            body = json.loads(content) if content else None
            call = Call(self.command, parts.path, dict(parse_qsl(parts.query)), body)
            google.calls.append(call)
            google.before(call)
            return google.answer(call, self.headers.get("Authorization", ""))

        def _say(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...  # the client may hang up

    with Server(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        google = Google(url, Tokens(f"{url}/token"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield google
        finally:
            server.shutdown()
            thread.join()
