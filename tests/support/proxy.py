"""A TCP proxy in front of a server, to do to its connections what networks do.

It runs in a thread of its own. What it is told holds for connections that are open and for those to come:

    with Proxy(("127.0.0.1", 5432)) as proxy:
        proxy.cut()             resets every open connection; new ones get through
        proxy.refuse()          cuts, and nobody listens any more
        proxy.stall()           nothing gets through, and nobody is told: a network that swallows packets
        proxy.slow(0.2)         everything that is read is handed on so many seconds later
        proxy.target = other    where new connections go, as when an address moves
        proxy.restore()         all is well again; what was stalled gets through
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

T = TypeVar("T")

Address = tuple[str, int]
_CHUNK = 65536


class Proxy:
    """`tls` makes it speak TLS with those who connect, and plain TCP with the server behind it."""

    def __init__(self, target: Address, *, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        """Where connections made from now on lead."""
        self.accepted = 0
        """How many connections were ever made."""
        self.answered = 0
        """How many bytes came back from the server."""
        self._tls = tls
        self._delay = 0.0
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._open: asyncio.Event
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> Address:
        return ("127.0.0.1", self._port)

    def through(self, url: str) -> str:
        """A URL of the server's, `scheme://login@host:port/...`, with the proxy's address in it."""
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        login, at, _ = authority.rpartition("@")
        return f"{scheme}://{login}{at}127.0.0.1:{self._port}{slash}{path}"

    # Faults

    def cut(self) -> None:
        self._do(self._cut)

    def refuse(self) -> None:
        self._do(self._refuse)

    def stall(self) -> None:
        async def stall() -> None:
            self._open.clear()

        self._do(stall)

    def slow(self, seconds: float) -> None:
        self._delay = seconds

    def restore(self) -> None:
        self._delay = 0.0
        self._do(self._restore)

    # In the loop

    def _do(self, what: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(10)

    async def _begin(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._tls, reuse_address=True, backlog=1000
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            # Nobody new first: asyncio leaves a connection open that it has accepted from a server which is closed
            # before it has made a transport for it.
            for listening in self._server.sockets:
                self._loop.remove_reader(listening.fileno())
            await asyncio.sleep(0)
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _restore(self) -> None:
        self._open.set()
        if self._server is None:
            await self._listen()

    async def _end(self) -> None:
        await self._refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        beyond: asyncio.StreamWriter | None = None
        try:
            await self._open.wait()
            answers, beyond = await asyncio.open_connection(*self.target)
            self._writers.add(beyond)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, beyond))
                both.create_task(self._pump(answers, writer, answers=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, beyond):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
                    with suppress(OSError, asyncio.CancelledError):
                        await end.wait_closed()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while data := await reader.read(_CHUNK):
            self.answered += len(data) if answers else 0
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        # One side has said all it had to: so has the other, for protocols of questions and answers.
        raise ConnectionResetError
