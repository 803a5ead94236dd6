"""The production server around the application: uvicorn (why: docs/decisions/0002-http-server.md)."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from types import FrameType
from typing import Any

import uvicorn

from taskyard import signals

from .composition import Service
from .live import MAX_WATCHES
from .problems import Problems
from .processes import Member
from .short_protocol import ShortProtocol
from .short_way import ShortWay

# Above the usual idle time of load balancers (60 s), so that they close idle connections first.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 10
# Beyond it the answer is 503. Room for all followers of events and for other requests.
MAX_CONNECTIONS = MAX_WATCHES + 2000
# At every tenth, uvicorn's `on_tick` makes the headers that all answers have.
_TICK = timedelta(seconds=0.1)
_REFRESH = timedelta(seconds=1)


class Server(uvicorn.Server):
    """Told to stop, it says so to proxies first, and stops when they have had time to notice. Then it ends live streams
    and waits, whose connections would delay a graceful stop."""

    def __init__(self, service: Service, *, stop_delay: timedelta, member: Member | None = None) -> None:
        super().__init__(config(service.app, service.problems, service.short_way))
        self._live = service.live
        self._health = service.health
        self._metrics = service.metrics
        self._member = member
        self._ticks_before_stop = round(stop_delay / _TICK)

    async def main_loop(self) -> None:
        if self._member is None:
            await super().main_loop()
        else:
            async with asyncio.TaskGroup() as beside:
                tasks = [beside.create_task(self._member.serve_until_alone()), beside.create_task(self._refresh())]
                await super().main_loop()
                for task in tasks:
                    task.cancel()
        self._health.stop_soon()
        # A connection kept for another request would be closed just when that comes: each answer closes its own.
        self.config.encoded_headers.append((b"connection", b"close"))
        for tick in range(self._ticks_before_stop):
            if self.force_exit:
                return
            await self.on_tick(tick)
            await asyncio.sleep(_TICK.total_seconds())

    async def _refresh(self) -> None:
        """Gauges that are computed when one process serves its own metrics: another serves those of all."""
        while True:
            self._metrics.refresh()
            await asyncio.sleep(_REFRESH.total_seconds())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.close()
        await super().shutdown(sockets)


class Config(uvicorn.Config):
    """`problems` answers what is refused before the application is reached; `short_way` takes ordinary submits."""

    def __init__(self, app: Any, problems: Problems, short_way: ShortWay | None, **options: Any) -> None:
        super().__init__(app, **options)
        self.problems = problems
        self.short_way = short_way


def config(app: Any, problems: Problems, short_way: ShortWay | None = None) -> Config:
    return Config(
        app,
        problems,
        short_way,
        http=ShortProtocol,
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


def serve(service: Service, listener: socket.socket, *, stop_delay: timedelta, member: Member | None = None) -> bool:
    """Serves until a signal stops it; then answers the requests in flight, and writes and publishes the waiting tasks.
    Returns whether it had started."""
    server = Server(service, stop_delay=stop_delay, member=member)

    def stop(number: int, frame: FrameType | None) -> None:
        # uvicorn raises a signal again when it is done; a clean stop ends with 0 instead.
        if not server.started:
            raise SystemExit(128 + number)
        server.handle_exit(number, frame)  # it has no handler of its own for SIGQUIT

    signals.take(dict.fromkeys(signals.STOPPING, stop))
    server.run(sockets=[listener])
    return server.started
