"""HTTP as bytes."""

from __future__ import annotations

from tests.support.fleet import KEY

from . import Wire

_BODY = b'{"name": "diagnostics.echo", "params": {"value": 1}}'
_CHUNKS = b"%x\r\n%b\r\n0\r\n" % (len(_BODY), _BODY)
_KEY = f"Authorization: Bearer {KEY}\r\n".encode()
_TYPE = b"Content-Type: application/json\r\n"


def head(line: bytes, *fields: bytes, key: bytes = _KEY) -> bytes:
    return line + b" HTTP/1.1\r\nHost: x\r\n" + key + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


LIVE = head(b"GET /health/live")
SUBMIT = head(b"POST /api/v1/tasks", _TYPE[:-2], b"Content-Length: %d" % len(_BODY)) + _BODY
_CHUNKED = head(b"POST /api/v1/tasks", _TYPE[:-2], b"Transfer-Encoding: chunked")
_UNSIGNED = head(b"POST /api/v1/tasks", _TYPE[:-2], b"Transfer-Encoding: chunked", key=b"")

_FIRST = "what was asked is answered before a connection is closed"
_STRICT = "a head that is not as the RFC says is refused"
_TRAILERS = "trailers are dropped"
_ONE = "one value where one is meant"
_ONE_SPELLING = "an address has one spelling"

WIRES = (
    Wire("garbage behind a submit", _FIRST, (SUBMIT + b"garbage\r\n\r\n",), (202,)),
    Wire("zero bytes behind two submits", _FIRST, (SUBMIT + SUBMIT + b"\0\xff",), (202, 202)),
    Wire("half a submit behind a submit", _FIRST, (SUBMIT + SUBMIT[:-20],), (202, 400)),
    Wire("garbage behind the last chunk", _FIRST, (_CHUNKED + _CHUNKS + b"\r\n" + b"X" * 70_000,), (202,)),
    Wire("one byte a segment", _FIRST, tuple(SUBMIT[n : n + 1] for n in range(len(SUBMIT))), (202,)),
    Wire("nothing", _FIRST, (b"",), ()),
    Wire("an upgrade with a body", _FIRST,
         (SUBMIT.replace(_TYPE, _TYPE + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n") + LIVE,),
         (202, 200)),
    Wire("a chunk size that is no number", _STRICT, (_CHUNKED + b"zz\r\n",), (400,)),
    Wire("a negative chunk size", _STRICT, (_CHUNKED + b"-1\r\n",), (400,)),
    Wire("a chunk size beyond 64 bits", _STRICT, (_CHUNKED + b"f" * 17 + b"\r\n",), (400,)),
    Wire("a chunk longer than it says", _STRICT, (_CHUNKED + b"1\r\nxy\r\n",), (400,)),
    Wire("HTTP/0.9", _STRICT, (b"GET /health/live\r\n\r\n",), (400,)),
    Wire("HTTP/9.9", _STRICT, (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",), (400,)),
    Wire("no Host", _STRICT, (b"GET /health/live HTTP/1.1\r\n\r\n",), (400,)),
    Wire("two Hosts", _STRICT, (head(b"GET /health/live", b"Host: y"),), (400,)),
    Wire("an unknown transfer encoding", _STRICT, (head(b"GET /health/live", b"Transfer-Encoding: gzip"),), (400,)),
    Wire("both lengths", _STRICT, (SUBMIT.replace(_TYPE, _TYPE + b"Transfer-Encoding: chunked\r\n"),), (400,)),
    Wire("a length with an underscore", _STRICT, (head(b"POST /api/v1/tasks", b"Content-Length: 1_0"),), (400,)),
    Wire("a folded field", _STRICT, (head(b"GET /health/live", b"X: a", b" b"),), (400,)),
    Wire("CONNECT", _STRICT, (head(b"CONNECT x:80"),), (400,)),
    Wire("HTTP/2 without asking", _STRICT, (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), (400,)),
    Wire("a head above 64 KiB", "such a head is 431", (head(b"GET /health/live", b"X: " + b"x" * 70_000),), (431,)),
    Wire("a key in a trailer", _TRAILERS, (_UNSIGNED + _CHUNKS + _KEY + b"\r\n",), (401,)),
    Wire("other fields in a trailer", _TRAILERS,
         (_CHUNKED + _CHUNKS + b"X-Request-ID: y\r\nX-Forwarded-For: 192.0.2.1\r\nHost: y\r\n\r\n",), (202,)),
    Wire("endless trailers", "what stands around the chunks of a body is bounded",
         (_UNSIGNED + _CHUNKS, *[b"X: y\r\n" * 5_000] * 20), (401,)),
    Wire("an endless extension of a chunk", "what stands around the chunks of a body is bounded",
         (_UNSIGNED + b"1;x=", *[b"y" * 30_000] * 20), (401,)),
    Wire("a stranger who waits for 100 Continue", "a request is refused before its body is asked for",
         (head(b"POST /api/v1/tasks", b"Content-Length: 9", b"Expect: 100-continue", key=b""),), (401,)),
    Wire("two request ids", _ONE, (head(b"GET /api/v1/tasks", b"X-Request-ID: a", b"X-Request-ID: b"),), (400,)),
    Wire("two keys", _ONE, (head(b"GET /api/v1/tasks", _KEY[:-2]),), (400,)),
    Wire("two slashes", _ONE_SPELLING, (head(b"GET //api/v1/tasks"),), (404,)),
    Wire("an escaped slash", _ONE_SPELLING, (head(b"GET /api%2Fv1/tasks"),), (404,)),
    Wire("a fragment", _ONE_SPELLING, (head(b"GET /health/live#x"),), (400,)),
    Wire("a limit with an underscore", "numbers are read as they are written",
         (head(b"GET /api/v1/tasks?limit=1_0"),), (422,)),
    Wire("a date that Python has not", "a condition that is no date is ignored",
         (head(b"GET /docs/start.js", b"If-Modified-Since: Thu, 01 Jan 99999999999 00:00:00 GMT"),), (200,)),
    Wire("HEAD", "HEAD answers like GET", (head(b"HEAD /api/v1/tasks") + LIVE,), (200, 200)),
)  # fmt: skip
