"""A small HTTP server for `/metrics`, with a bound on everything a client could use up."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)

_THREADS = 2
_WAITING = 16
_REQUEST_BYTES = 8192
_LAST_CHANCE_SECONDS = 0.02
_HINT = b"Metrics for Prometheus are at /metrics\n"


class MetricsPortTaken(Exception):
    """The metrics port cannot be had: the message is one line that names the variable."""


class MetricsServer:
    """Answers GET and HEAD, one request a connection, from threads of its own. `port`: where it listens.

    At most 2 requests are answered at a time and 16 wait; more are turned away. A request has 8 KiB, and 5 s
    from its connection.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        host: str,
        port: int,
        *,
        refresh: Callable[[], None] = lambda: None,
        request_seconds: float = 5.0,
    ) -> None:
        self._registry = registry
        self._refresh = refresh
        self._request_seconds = request_seconds
        self._places = threading.BoundedSemaphore(_THREADS + _WAITING)
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="metrics")
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, name="metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{_reachable(self.host)}:{self.port}/metrics"

    def stop(self) -> None:
        self._stopping = True
        # Closing alone does not wake a thread that waits in accept().
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(2)
        self._socket.close()
        self._pool.shutdown(wait=True, cancel_futures=False)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._socket.accept()
            except OSError as e:
                if not self._stopping:
                    log.warning("metrics_accept_failed", extra={"error": str(e)})
                    time.sleep(0.1)  # out of file descriptors, for one: don't spin until there are some again
                continue
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            self._pool.submit(self._serve, connection, time.monotonic() + self._request_seconds)

    def _serve(self, connection: socket.socket, deadline: float) -> None:
        try:
            with connection:
                request = _read(connection, deadline)
                if request is not None:
                    connection.settimeout(self._request_seconds)
                    connection.sendall(self._answer(*request))
        except OSError:
            pass  # the client went away
        except Exception:
            log.exception("metrics_scrape_failed")
        finally:
            self._places.release()

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        if method not in {"GET", "HEAD"}:
            return _response(405, "Method Not Allowed", b"GET only\n", method, allow="GET, HEAD")
        match path.partition("?")[0]:
            case "/metrics":
                self._refresh()
                choose: Any = choose_encoder
                encode, content_type = choose(headers.get("accept", ""))
                body: bytes = encode(self._registry)
                if "gzip" in headers.get("accept-encoding", ""):
                    body = gzip.compress(body, compresslevel=1)
                    return _response(
                        200, "OK", body, method, content_type=content_type, content_encoding="gzip"
                    )
                return _response(200, "OK", body, method, content_type=content_type)
            case "/":
                return _response(200, "OK", _HINT, method)
            case _:
                return _response(404, "Not Found", _HINT, method)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as e:
        raise MetricsPortTaken(f"TASKYARD_METRICS_HOST: {host!r} is no address here: {e.strerror}") from None
    try:
        return socket.create_server(address[:2], family=family, backlog=_WAITING)
    except OSError as e:
        raise MetricsPortTaken(
            f"TASKYARD_METRICS_PORT: cannot listen on {host}:{port} ({os.strerror(e.errno or 0)}); "
            "choose another port, or 0 for any free one"
        ) from None


def _read(connection: socket.socket, deadline: float) -> tuple[str, str, dict[str, str]] | None:
    """Method, path and headers; None where that is no request, or not within its time and size."""
    data = b""
    while b"\r\n\r\n" not in data:
        left = deadline - time.monotonic()
        if (left <= 0 and data) or len(data) >= _REQUEST_BYTES:
            return None
        # Who waited behind idle ones has sent his request by now; who sent nothing goes at once.
        connection.settimeout(max(left, _LAST_CHANCE_SECONDS))
        more = connection.recv(_REQUEST_BYTES - len(data))
        if not more:
            return None
        data += more
    first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3:
        return None
    pairs = (line.partition(":") for line in lines)
    return parts[0], parts[1], {name.strip().lower(): value.strip() for name, _, value in pairs}


def _response(
    status: int,
    reason: str,
    body: bytes,
    method: str,
    *,
    content_type: str = "text/plain; charset=utf-8",
    **headers: str,
) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {reason}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()),
    ]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if method == "HEAD" else head + body


def _reachable(host: str) -> str:
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
