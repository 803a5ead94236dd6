"""The production server around the application: uvicorn (why: docs/decisions/0002-http-server.md)."""

from __future__ import annotations

import signal
import socket
from types import FrameType
from typing import Any

import uvicorn

from .bounds import BoundedProtocol
from .live import MAX_WATCHES, Live

# Above the idle time of the usual load balancers (60 s), so that they, not we, close a connection.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 10
# Beyond it the answer is 503: room for all who may follow events, and for those who ask.
MAX_CONNECTIONS = MAX_WATCHES + 2000


class Server(uvicorn.Server):
    """Ends live streams and waits first: otherwise their connections would hold up a graceful stop."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.close()
        await super().shutdown(sockets)


def config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        # Who sent a request is read in requests.py, from addresses that are trusted.
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def serve(app: Any, live: Live, listener: socket.socket) -> bool:
    """Serves until SIGTERM or SIGINT: accepts no more, answers what is in flight, writes and publishes what
    waits. Returns whether it had started."""
    server = Server(config(app), live)

    def told(number: int, _frame: FrameType | None) -> None:
        # uvicorn raises the signal once more when it is done: who stopped as told ends with 0, not by it.
        if not server.started:
            raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    server.run(sockets=[listener])
    return server.started


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener
