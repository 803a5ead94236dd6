"""The server around the application: uvicorn, with bounds on what a connection may cost before anybody signs in
(docs/decisions/0047-the-console.md)."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from taskyard import signals

from .composition import Service
from .live import MAX_PAGES

MAX_HEAD_BYTES = 64 * 1024
# A head, or a form, that is not complete by then is given up.
REQUEST_SECONDS = 30.0
# Above the usual idle time of load balancers (60 s), so that they close idle connections first.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 10
MAX_CONNECTIONS = MAX_PAGES + 500
_TICK = timedelta(seconds=0.1)


class PatientProtocol(H11Protocol):
    """Closes a connection whose request does not arrive: uvicorn itself would wait for ever."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        """A request has its time from its first byte to its last; the first one of a connection, from its opening."""
        if not self._is_owed:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    @property
    def _is_owed(self) -> bool:
        """Whether a request has begun that is not complete. Between two, `timeout_keep_alive` counts."""
        state = self.conn.their_state
        if state is h11.IDLE:
            is_first = self.cycle is None
            # Once its time runs, what has come of a head need not be looked at again.
            return is_first or self._timer is not None or bool(self.conn.trailing_data[0])
        return state is h11.SEND_BODY

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """Told to stop, it says so to proxies first, and stops when they have had time to notice. Then it ends live pages,
    whose connections would delay a graceful stop."""

    def __init__(self, service: Service, *, stop_delay: timedelta) -> None:
        super().__init__(config(service.app))
        self._service = service
        self._ticks_before_stop = round(stop_delay / _TICK)

    async def main_loop(self) -> None:
        await super().main_loop()
        self._service.ready.stop_soon()
        self.config.encoded_headers.append((b"connection", b"close"))
        for tick in range(self._ticks_before_stop):
            if self.force_exit:
                return
            await self.on_tick(tick)
            await asyncio.sleep(_TICK.total_seconds())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.live.close()
        await super().shutdown(sockets)


def config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        # addresses.py reads what trusted proxies sent.
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def serve(service: Service, listener: socket.socket, *, stop_delay: timedelta) -> bool:
    """Serves until a signal stops it, then answers the requests in flight. Returns whether it had started."""
    server = Server(service, stop_delay=stop_delay)

    def stop(number: int, frame: FrameType | None) -> None:
        # uvicorn raises a signal again when it is done; a clean stop ends with 0 instead.
        if not server.started:
            raise SystemExit(128 + number)
        server.handle_exit(number, frame)

    signals.take(dict.fromkeys(signals.STOPPING, stop))
    server.run(sockets=[listener])
    return server.started


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)
