"""What the head of a request may be, beyond what the parser refuses itself (RFC 9110 and 9112)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from taskyard.domain.messages import Message, message

Headers = Sequence[tuple[bytes, bytes]]

# What takes one value. Others may come on several lines, which are joined in their order (RFC 9110, 5.3).
_SINGLE = frozenset(
    {
        *(b"authorization", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"host"),
        *(b"idempotency-key", b"x-request-id", b"x-filename", b"traceparent", b"last-event-id", b"origin", b"expect"),
        *(b"range", b"if-range", b"if-modified-since", b"if-unmodified-since"),
        *(b"access-control-request-method", b"max-forwards", b"user-agent", b"referer", b"from", b"date"),
    }
)
# A host, or nothing, and a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


def fault_of(version: str, url: bytes, headers: Headers) -> Message | None:
    """What is wrong with a head; names are in lower case."""
    if version not in {"1.1", "1.0"}:
        return message("This service speaks HTTP/1.1 and HTTP/1.0.")
    if b"#" in url:
        return message("The address has a fragment, which stays with the client.")
    names = [name for name, _ in headers]
    if len(set(names)) != len(names):
        for name in sorted(_SINGLE.intersection(names)):
            if names.count(name) > 1:
                return message("The header {name} takes one value and came more than once.", name=name.decode().title())
    if b"host" not in names:
        return message("The header Host is missing.") if version == "1.1" else _fault_of_coding(version, headers, names)
    if not _HOST.fullmatch(headers[names.index(b"host")][1]):
        return message("The header Host is not the name of a host.")
    return _fault_of_coding(version, headers, names)


def _fault_of_coding(version: str, headers: Headers, names: Sequence[bytes]) -> Message | None:
    if b"transfer-encoding" not in names:
        return None
    if version != "1.1" or headers[names.index(b"transfer-encoding")][1].lower() != b"chunked":
        return message("The only transfer encoding is chunked, in HTTP/1.1.")
    return None


def size_of(url: bytes, headers: Headers) -> int:
    """The bytes of a head, without its method and version."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
