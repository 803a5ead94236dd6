"""A stand-in for Sentry: a real HTTP server that speaks its envelope protocol and keeps the events it got."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_stand_in import Call, Reply, answering


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
    def answer(call: Call) -> Reply:
        assert call.path == "/api/7/envelope/", call.path
        body = gzip.decompress(call.body) if call.headers.get("content-encoding") == "gzip" else call.body
        found.answer_now.wait(60)
        found.raw.append(body)
        found.events += _events(body)
        return Reply(200, {})

    found = SentryServer("")
    found.answer_now.set()
    with answering(answer) as url:
        found.dsn = f"{url.replace('://', '://key@')}/7"
        try:
            yield found
        finally:
            found.answer_now.set()


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
