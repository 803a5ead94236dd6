"""A stand-in for Sentry: a real HTTP server that speaks its envelope protocol and keeps the events it got."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class SentryServer:
    """`raw` has the bytes that came, decompressed. While `answer_now` is not set, no answer is given."""

    dsn: str
    events: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    answer_now: threading.Event = field(default_factory=threading.Event)

    def of_task(self, task_id: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["tags"].get("task.id") == task_id]


@contextmanager
def sentry_server() -> Iterator[SentryServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            assert self.path == "/api/7/envelope/", self.path
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.answer_now.wait(60)
            found.raw.append(body)
            found.events += _events(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...  # who reports may hang up

    with Server(("127.0.0.1", 0), Handler) as server:
        found = SentryServer(f"http://key@127.0.0.1:{server.server_address[1]}/7")
        found.answer_now.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            found.answer_now.set()
            server.shutdown()
            thread.join()


def _events(envelope: bytes) -> Iterator[dict[str, Any]]:
    """The first line is the envelope's head; then each item has a head with its length, and its content."""
    _, _, rest = envelope.partition(b"\n")
    while rest.strip():
        head, _, rest = rest.partition(b"\n")
        item = json.loads(head)
        length = item.get("length")
        content, rest = (rest[:length], rest[length + 1 :]) if length is not None else rest.split(b"\n", 1)
        if item["type"] == "event":
            yield json.loads(content)
