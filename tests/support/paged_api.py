"""Another system with records, page by page: JSON with items and the cursor of the next page, or a header Link.

It is a feed: what is added or changed stands behind all that was there before.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token-of-the-other-system"


@dataclass
class PagedApi:
    """`answers` are given instead of the next pages: a status, headers and a body each; None is the page itself."""

    url: str
    items: list[Any] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes] | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    token: str | None = None

    def page(self, target: str, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(target)
        if self.answers and (answer := self.answers.pop(0)) is not None:
            return answer
        if self.token is not None and authorization != f"Bearer {self.token}":
            return 401, {}, b"{}"
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        start, size = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["3"])[0])
        items, end = self.items[start : start + size], start + size
        following = end if end < len(self.items) else None
        if path == "/linked":
            link = f'</linked?cursor={end}&limit={size}>; rel="next", </linked>; rel="first"'
            return 200, {} if following is None else {"Link": link}, json.dumps(items).encode()
        body = {"data": {"items": items}, "items": items, "next_cursor": following}
        return 200, {}, json.dumps(body).encode()


@contextmanager
def paged_api() -> Iterator[PagedApi]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = api.page(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...  # the client may hang up

    with Server(("127.0.0.1", 0), Handler) as server:
        api = PagedApi(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
