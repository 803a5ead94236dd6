"""The template process, as the supervisor knows it: children are forked from it (`child/template.py`)."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import wait
from subprocess import Popen
from typing import Any

import structlog

from taskyard.catalogue.spec import TaskSpec

from ..control import ForkRequest, TemplatePlan
from .handle import Report, cause_of
from .line import Line
from .restarts import SHORT_LIFE_SECONDS, Restarts
from .starting import Begun, Forked, spawn_template

log = structlog.stdlib.get_logger(__name__)

# A fork takes milliseconds. The supervisor does nothing else meanwhile.
_FORK_SECONDS = 5.0
_LAST_SECONDS = 2.0


class Template:
    """Belongs to the main thread. `is_on`: whether children are to be forked at all. `plan` is asked at each start;
    `first`: one that waits for it. `start_seconds`: within these it has to be ready.

    `report` and `types`: as those of a `Handle`. All children that are forked have these types.
    """

    def __init__(
        self, plan: Callable[[], TemplatePlan], *, is_on: bool, start_seconds: float, first: Begun | None = None
    ) -> None:
        self._is_on = is_on and sys.platform == "linux"
        self._first = first
        self._plan = plan
        self._start_seconds = start_seconds
        self._process: Popen[bytes] | Forked | None = None
        self._line: Line | None = None
        self._started = 0.0
        self._is_ready = False
        self._is_misconfigured = False
        self._refusal: str | None = None
        self._is_refusal_meant = False
        self._restarts = Restarts()
        self._replaced: list[Popen[bytes] | Forked] = []
        self.report = Report()
        self.types: Mapping[str, TaskSpec] = {}

    @property
    def pids(self) -> list[int]:
        """Its own, and those of earlier ones that have not ended yet."""
        first = None if self._first is None else self._first.process
        return [process.pid for process in (self._process, first, *self._replaced) if process is not None]

    @property
    def lines(self) -> list[socket.socket]:
        """Readable when it has something to say, or has ended."""
        return [] if self._line is None or self._line.is_closed else [self._line.socket]

    @property
    def is_awaited(self) -> bool:
        """Whether it will soon fork children, or say that it cannot. What is wrong with task modules or settings would
        be wrong for a spawned child, too: then it is tried until it is right."""
        return self._is_starting or self._is_misconfigured

    @property
    def _is_starting(self) -> bool:
        return self._process is not None and not self._is_ready

    @property
    def why_spawned(self) -> str | None:
        """Why a child cannot be forked that starts now; None where it can, or is not meant to be."""
        if not self._is_on or self._is_ready or (self._refusal and self._is_refusal_meant):
            return None
        return self._refusal or "the template has ended, and is started again after a pause"

    def turn(self) -> None:
        """Starts it where it is missing, and sees when it ends."""
        self._replaced = [process for process in self._replaced if process.poll() is None]
        if self._process is not None:
            if self._is_starting and time.monotonic() - self._started > self._start_seconds:
                log.error("template_stuck", pid=self._process.pid, seconds=self._start_seconds)
                self._kill(self._process)
            self._look_for_end(self._process)
        if self._is_on and self._process is None and self._refusal is None and self._restarts.pause <= 0:
            self._start()

    def receive(self) -> Iterator[dict[str, Any]]:
        """What it says that concerns others: its `types`, and `misconfigured`."""
        for message in [] if self._line is None else self._line.receive():
            match message:
                case {"event": "ready"}:
                    self._is_ready = True
                    log.info("template_ready", pid=self.pids[0], seconds=round(time.monotonic() - self._started, 2))
                case {"event": "unforkable", "why": str(why), "is_meant": bool(is_meant)}:
                    self._refuse(why, is_meant=is_meant)
                case {"event": "misconfigured"}:
                    self._is_misconfigured = True
                    yield message
                case _:
                    yield message

    def send(self, message: dict[str, Any]) -> None:
        if self._line is not None:
            self._line.send(message)

    def fork(self, request: ForkRequest, control_fd: int, slots_fd: int) -> Forked | None:
        """A new child; None where it cannot be forked. Raises OSError where the system is short of something."""
        if not self._is_ready or self._line is None:
            return None
        try:
            request.send(self._line.socket, control_fd, slots_fd)
            pid = self._wait_for_pid(self._line)
        except (BrokenPipeError, ConnectionResetError):
            pid = None
        if pid is None:
            if self._refusal is None:
                log.error("template_failed", pid=self.pids[0])
                self._end()
            return None
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # It ends when its control line does.
            self._refuse("this system does not make a supervisor the parent of what its children leave")
            self._end()
            return None
        return Forked(pid)

    def renew(self) -> None:
        """Another one imports what is installed now."""
        self._refusal = None
        self._end()

    def stop(self) -> None:
        """Children do not notice."""
        if self._first is not None:
            self._take(self._first)
        self._end()
        deadline = time.monotonic() + _LAST_SECONDS
        while any(process.poll() is None for process in self._replaced) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _start(self) -> None:
        self._started = time.monotonic()
        self.report, self.types = Report(), {}
        try:
            begun = self._first or spawn_template()
        except OSError as e:
            log.error("template_not_started", error=str(e))  # noqa: TRY400 - the system is short of something
            self._restarts.slow_down()
            return
        self._take(begun)
        self._is_misconfigured = False
        self.send(asdict(self._plan()))
        log.info("template_started", pid=begun.process.pid)

    def _take(self, begun: Begun) -> None:
        self._first = None
        self._process, self._line = begun.process, Line(begun.line, "template")

    def _wait_for_pid(self, line: Line) -> int | None:
        deadline = time.monotonic() + _FORK_SECONDS
        while not line.is_closed and (left := deadline - time.monotonic()) > 0:
            wait([line.socket], left)
            for message in line.receive():
                match message:
                    case {"event": "forked", "pid": int(pid)}:
                        return pid
                    case {"event": "unforked", "why": str(why)}:
                        raise OSError(why)
                    case {"event": "unforkable", "why": str(why)}:
                        self._refuse(why)
                        return None
        return None

    def _refuse(self, why: str, *, is_meant: bool = False) -> None:
        self._refusal = why
        self._is_refusal_meant = is_meant
        self._is_ready = False
        (log.info if is_meant else log.warning)("children_spawned", why=why)

    def _kill(self, process: Popen[bytes] | Forked) -> None:
        """With what it has forked or its task modules have started, which may keep its line open."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def _look_for_end(self, process: Popen[bytes] | Forked) -> None:
        if self.lines or (code := process.poll()) is None:  # what it said last comes first
            return
        if self._refusal is None:
            if not self._is_misconfigured:
                log.error("template_died", pid=process.pid, cause=str(cause_of(code)))
            if not self._is_ready or time.monotonic() - self._started < SHORT_LIFE_SECONDS:
                self._restarts.slow_down()
        self._end()

    def _end(self) -> None:
        """Of this one, and of what its task modules have started."""
        if self._process is None:
            return
        self._kill(self._process)
        self._replaced.append(self._process)
        if self._line is not None:
            self._line.close()
        self._process = self._line = None
        self._is_ready = False
