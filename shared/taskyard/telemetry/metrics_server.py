"""`/metrics` on its own port: prometheus_client's WSGI app behind the standard library's server."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

REQUEST_SECONDS = 5.0
# Prometheus uses one or two at a time; connections beyond this are refused.
MAX_REQUESTS = 16


class MetricsPortTaken(Exception):
    """The metrics port is not available; the message is one line that names the variable."""


class _Server(ThreadingWSGIServer):
    """Bounds the resources of silent clients."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.places = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnects early is not an error."""


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


class MetricsServer:
    """Serves a registry until `stop()`. `port`: where it listens; `refresh` is called before each scrape.

    Raises MetricsPortTaken.
    """

    def __init__(
        self, registry: CollectorRegistry, host: str, port: int, *, refresh: Callable[[], None] = lambda: None
    ) -> None:
        metrics = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] != "/metrics":
                start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"Metrics for Prometheus are at /metrics\n"]
            refresh()
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer

        try:
            self._server = make_server(host, port, app, _ServerV6 if ":" in host else _Server, _Handler)
        except socket.gaierror as e:
            raise MetricsPortTaken(f"TASKYARD_METRICS_HOST: {host!r} is no address here: {e.strerror}") from None
        except OSError as e:
            raise MetricsPortTaken(
                f"TASKYARD_METRICS_PORT: cannot listen on {host}:{port} ({os.strerror(e.errno or 0)}); "
                "choose another port, or 0 for any free one"
            ) from None
        self.host = host
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in {"", "0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}/metrics" if ":" in host else f"http://{host}:{self.port}/metrics"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)
