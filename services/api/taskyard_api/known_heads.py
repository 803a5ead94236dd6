"""Heads of submits that the parser has taken apart before. A client sends the same one with each of its requests.

A head is known by the SHA-256 of all but the digits of its length, so that no key is kept. Nothing else is parsed here:
bytes that the parser understood once are understood in the same way when they come again.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from taskyard.domain.api_keys import digest_of, prefix_of

PATH = "/api/v1/tasks"
_LINE = f"POST {PATH} HTTP/1.1\r\n".encode()
_END = b"\r\n\r\n"
MAX_BYTES = 4096
# Behind a proxy, heads differ by caller.
MAX_KNOWN = 16_384
_MAX_LANGUAGE = 128  # characters of Accept-Language, which is kept
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([1-9][0-9]{0,6})\r\n", re.IGNORECASE)
# What an ordinary submit has, and proxies add; what is not here may change how a request is answered.
_ORDINARY = frozenset(
    {
        *(b"accept", b"accept-encoding", b"accept-language", b"authorization", b"connection", b"content-length"),
        *(b"content-type", b"forwarded", b"host", b"user-agent", b"via", b"x-forwarded-for", b"x-forwarded-host"),
        *(b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip"),
    }
)
_ACCEPTED = frozenset({None, b"*/*", b"application/json"})


@dataclass(slots=True)
class Head:
    """What a head says: the API key by its prefix and digest, and Accept-Language."""

    prefix: str
    digest: bytes
    language: str | None


# Where the digits of the length begin, and the digest of what is around them: together they stand for one head only.
Name = tuple[int, bytes]


class KnownHeads:
    def __init__(self) -> None:
        self._known: OrderedDict[Name, Head] = OrderedDict()

    def find(self, segment: bytes) -> tuple[Head, bytes] | None:
        """The head and the body, where the segment is one whole request with a known head."""
        parts = _parts(segment)
        if parts is None:
            return None
        name, body = parts
        head = self._known.get(name)
        if head is None:
            return None
        self._known.move_to_end(name)
        return head, body

    def read(self, segment: bytes, cycle: Any) -> tuple[Name, Head] | None:
        """The head of a segment that was one whole request, as uvicorn's `cycle` tells, and its name for `learn`."""
        parts, scope = _parts(segment), cycle.scope
        if parts is None or cycle.more_body or not cycle.keep_alive:
            return None
        name, body = parts
        headers = dict(scope["headers"])
        if segment.count(b"\r\n", 0, len(segment) - len(body)) != len(headers) + 2:
            return None  # framing.py left out what asks for another protocol
        if len(headers) < len(scope["headers"]) or not headers.keys() <= _ORDINARY:
            return None
        if headers.get(b"content-type") != b"application/json" or headers.get(b"accept") not in _ACCEPTED:
            return None
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        prefix = prefix_of(key)
        if headers.get(b"content-length") != b"%d" % len(body) or scheme.lower() != "bearer" or prefix is None:
            return None
        language = headers[b"accept-language"].decode("latin-1") if b"accept-language" in headers else None
        if language is not None and len(language) > _MAX_LANGUAGE:
            return None
        return name, Head(prefix, digest_of(key), language)

    def learn(self, name: Name, head: Head) -> None:
        """The one that was not used for longest is forgotten where there are too many."""
        self._known[name] = head
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _parts(segment: bytes) -> tuple[Name, bytes] | None:
    """The name of the head and the body, where the segment ends as its first Content-Length says."""
    if not segment.startswith(_LINE):
        return None
    end = segment.find(_END, 0, MAX_BYTES) + 4
    length = _LENGTH.search(segment, 0, end)
    if length is None or end + int(length[1]) != len(segment):
        return None
    start, stop = length.span(1)
    return (start, hashlib.sha256(segment[:start] + segment[stop:end]).digest()), segment[end:]
