"""Several processes behind one address: the one that was started keeps the others.

It binds the address, starts `processes` of itself that serve the socket they inherit, and serves the metrics of all. A
socket for each process (SO_REUSEPORT) would spread connections evenly, but the kernel would give connections to a
process that has just died, and close them: of one socket, the others take them (docs/decisions/0054).
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType

import structlog

from taskyard import signals
from taskyard.backoff import Backoff
from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics, SharedFiles, remove_directory, shared_directory

log = structlog.get_logger(__name__)

# After the time that a stop takes in order: then a process is killed.
STOP_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 15.0
# What ran for so long has not failed again at once.
_WELL_SECONDS = 60.0
_READY = b"r"
_RATES = "rates"


@dataclass(frozen=True)
class Member:
    """One of the processes, as it is told by the one that keeps it. `line` is a socket between the two: whoever has
    gone is seen to be gone by the other."""

    name: str
    directory: Path
    line: int

    @property
    def files(self) -> SharedFiles:
        return SharedFiles(self.directory, self.name)

    @property
    def rates(self) -> Path:
        """The file whose memory the rate limits of all share."""
        return self.directory / _RATES

    async def serve_until_alone(self) -> None:
        """Says that it serves. Ends in order where the keeper has gone: its successor needs the address."""
        loop = asyncio.get_running_loop()
        with socket.socket(fileno=self.line) as line:
            line.setblocking(False)
            await loop.sock_sendall(line, _READY)
            await loop.sock_recv(line, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    @classmethod
    def read(cls, text: str) -> Member:
        name, line, directory = text.split(",", 2)
        return cls(name, Path(directory), int(line))

    def __str__(self) -> str:
        return f"{self.name},{self.line},{self.directory}"


class Keeper:
    """Keeps `count` processes that serve `listener`. `program`: how one is started, but for what it is told here."""

    def __init__(
        self,
        program: Sequence[str],
        count: int,
        listener: socket.socket,
        directory: Path,
        metrics: Metrics,
        *,
        metrics_port: int,
        stop_delay: timedelta,
    ) -> None:
        self._program = program
        self._names = [f"api{number}" for number in range(count)]
        self._listener = listener
        self._directory = directory
        self._metrics = metrics
        self._metrics_port = metrics_port
        self._stop_seconds = stop_delay.total_seconds() + STOP_SECONDS
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._serving: set[str] = set()
        self._all_serve = asyncio.Event()  # have served, that is: one that ends later is started again
        self._stopping = asyncio.Event()
        self._failed = 0

    async def keep(self) -> int:
        """Returns the exit code once it was told to stop and all have ended, or one ended before all had ever served:
        then its code."""
        loop = asyncio.get_running_loop()

        def stop(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._stop, number)

        signals.take(dict.fromkeys(signals.STOPPING, stop))
        keeping = [asyncio.create_task(self._keep_one(name)) for name in self._names]
        await self._stopping.wait()
        try:
            async with asyncio.timeout(self._stop_seconds):
                await asyncio.gather(*keeping)
        except TimeoutError:
            for name, process in self._running.items():
                log.warning("process_killed", member=name, pid=process.pid)
                process.kill()
            await asyncio.gather(*keeping, return_exceptions=True)
        return self._failed

    def _stop(self, number: int = signal.SIGTERM) -> None:
        """Each signal is passed on: the second Ctrl-C does not wait for requests."""
        self._stopping.set()
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(number)

    def _serves(self, name: str, pid: int) -> None:
        log.info("process_serving", member=name, pid=pid)
        self._serving.add(name)
        if len(self._serving) == len(self._names) and not self._all_serve.is_set():
            self._all_serve.set()
            host, port = self._listener.getsockname()[:2]
            log.info("serving", host=host, port=port, metrics_port=self._metrics_port, processes=len(self._names))

    async def _keep_one(self, name: str) -> None:
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run(name)
            self._metrics.forget(name)
            if self._stopping.is_set():
                if code != 0:
                    log.warning("process_ended", member=name, exit_code=code)
                return
            if not self._all_serve.is_set():  # a wrong setting, and not an accident
                log.error("process_ended", member=name, exit_code=code)
                self._failed = self._failed or max(code, 1)
                self._stop()
                return
            if time.monotonic() - began > _WELL_SECONDS:
                backoff.reset()
            pause = backoff.next()
            log.error("process_ended", member=name, exit_code=code, again_in=round(pause, 1))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, name: str) -> int:
        """Starts the process and returns its exit code; negative: the signal that ended it; 1 where it could not be
        started."""
        try:
            process, ours = await self._start(name)
        except (OSError, RuntimeError) as e:  # no descriptor, process, memory or thread is left
            log.warning("process_not_started", member=name, error=str(e))
            return 1
        with ours:
            self._running[name] = process
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
            loop = asyncio.get_running_loop()
            if await loop.sock_recv(ours, 1) == _READY:
                self._serves(name, process.pid)
            code = await process.wait()
            del self._running[name]
            return code

    async def _start(self, name: str) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """The process and our end of its line, whose closing ends it. Raises OSError, RuntimeError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                inherited = (self._listener.fileno(), theirs.fileno())
                told = ["--fd", str(inherited[0]), "--member", str(Member(name, self._directory, inherited[1]))]
                # In a session of its own: Ctrl-C in a terminal reaches it through the keeper only.
                process = await asyncio.create_subprocess_exec(
                    *self._program, *told, pass_fds=inherited, start_new_session=True
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return process, ours


def keep(settings: Settings, listener: socket.socket) -> int:
    """Keeps the processes until a signal stops them; returns the exit code. Raises MetricsPortTaken."""
    directory = shared_directory()
    metrics = Metrics("api", shared=SharedFiles(directory, "keeper"))
    try:
        server = metrics.serve(settings.metrics_host, settings.metrics_port)
        program = [sys.executable, "-P", "-m", "taskyard_api.cli", "serve", "--log-level", settings.log_level]
        keeper = Keeper(
            program,
            settings.api_processes,
            listener,
            directory,
            metrics,
            metrics_port=server.port,
            stop_delay=settings.api_stop_delay,
        )
        try:
            return asyncio.run(keeper.keep())
        finally:
            server.stop()
    finally:
        metrics.close()
        remove_directory(directory)
