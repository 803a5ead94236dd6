"""The production server around the application: uvicorn (why: docs/decisions/0002-http-server.md)."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from types import FrameType
from typing import Any

import uvicorn

from taskyard import signals

from .bounds import BoundedProtocol
from .composition import Service
from .live import MAX_WATCHES
from .problems import Problems

# Above the usual idle time of load balancers (60 s), so that they close idle connections first.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 10
# Beyond it the answer is 503. Room for all followers of events and for other requests.
MAX_CONNECTIONS = MAX_WATCHES + 2000
# At every tenth, uvicorn's `on_tick` makes the headers that all answers have.
_TICK = timedelta(seconds=0.1)


class Server(uvicorn.Server):
    """Told to stop, it says so to proxies first, and stops when they have had time to notice. Then it ends live streams
    and waits, whose connections would delay a graceful stop."""

    def __init__(self, service: Service, *, stop_delay: timedelta) -> None:
        super().__init__(config(service.app, service.problems))
        self._live = service.live
        self._health = service.health
        self._ticks_before_stop = round(stop_delay / _TICK)

    async def main_loop(self) -> None:
        await super().main_loop()
        self._health.stop_soon()
        # A connection kept for another request would be closed just when that comes: each answer closes its own.
        self.config.encoded_headers.append((b"connection", b"close"))
        for tick in range(self._ticks_before_stop):
            if self.force_exit:
                return
            await self.on_tick(tick)
            await asyncio.sleep(_TICK.total_seconds())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.close()
        await super().shutdown(sockets)


class Config(uvicorn.Config):
    """`problems` answers what is refused before the application is reached."""

    def __init__(self, app: Any, problems: Problems, **options: Any) -> None:
        super().__init__(app, **options)
        self.problems = problems


def config(app: Any, problems: Problems) -> Config:
    return Config(
        app,
        problems,
        http=BoundedProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        # requests.py reads the client's address from what trusted proxies sent.
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def serve(service: Service, listener: socket.socket, *, stop_delay: timedelta) -> bool:
    """Serves until a signal stops it; then answers the requests in flight, and writes and publishes the waiting tasks.
    Returns whether it had started."""
    server = Server(service, stop_delay=stop_delay)

    def stop(number: int, frame: FrameType | None) -> None:
        # uvicorn raises a signal again when it is done; a clean stop ends with 0 instead.
        if not server.started:
            raise SystemExit(128 + number)
        server.handle_exit(number, frame)  # it has no handler of its own for SIGQUIT

    signals.take(dict.fromkeys(signals.STOPPING, stop))
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


def inherited(descriptor: int) -> socket.socket:
    """The socket that the parent process bound. Raises OSError where it is none, or none that can listen."""
    listener = socket.socket(fileno=descriptor)
    try:
        # Of a socket that listens already, this changes the length of its queue.
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener
