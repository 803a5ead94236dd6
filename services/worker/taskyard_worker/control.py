"""The control line: one socket between the supervisor and each child, JSON objects, one a line.

The supervisor sends the `Plan` first, then `{"do": "drain"}`, `{"do": "cancel", "task": …, "claim": …}`,
`{"do": "abandon", "task": …, "claim": …}`, `{"do": "slow", "until": {slowed name: time, …}}`,
`{"do": "resume", "queues": [name, …]}` and `{"do": "recall", "queues": [name, …]}`. A child sends events: `types`,
`ready`, `worn`, `retiring` (with `why`), `suspects`, `misconfigured` (with `message`), `broken` (with `thread` and
`kinds`). The supervisor's end is `supervisor.handle.Handle`, the child's is here.

Before it is ready, a child reports its task types, some in each `types` event: `{"specs": [spec, …], "refused":
{name: why, …}, "last": true}`. The supervisor checks them and answers the last event with
`{"do": "types", "refused": [name, …]}`. A child claims no tasks of refused types.

The template has such a line, too. The supervisor sends it a `TemplatePlan`. It reports its task types, which are those
of all children that are forked from it, and then says `ready`, `unforkable` (with `why` and `is_meant`) or
`misconfigured`. After that, the supervisor sends a `ForkRequest` with two descriptors: the child's end of a control
line, and its slot table. The template answers each with `forked` (with `pid`) or `unforked` (with `why`).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

# Tasks may put something in their place, as tests do; the process goes on talking to its supervisor.
_dumps, _loads = json.dumps, json.loads
# Above the descriptors that a child opens by itself.
_HIGH = 100
# The exit code of a worker or child whose settings or task modules are wrong.
EXIT_MISCONFIGURED = 2
# That of a child whose task has ended a thread of the platform.
EXIT_BROKEN = 3
# Task types that a child may report, and the length of one line. A spec has 64 KiB at most, and three times as many
# where JSON escapes its characters.
MAX_TYPES = 1_000
MAX_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor tells a new child. `overrides` are settings that the command line gave."""

    worker_id: str
    worker: str
    index: int
    queues: list[str]
    processes: int
    """How many children may share the memory of the worker."""
    threads: int
    overrides: dict[str, Any]
    fetcher_id: str
    """The name under which it fetches from Redis: the supervisor finds by it what a dead child left there."""
    temp_dir: str
    """Where its attempts get a directory each."""
    quarantine: bool = False
    kits: list[str] = field(default_factory=list)
    """Those that its siblings have loaded."""

    @property
    def label(self) -> str:
        """The child's name, as rows and logs show it."""
        return f"{self.worker}:{self.index}"


@dataclass(frozen=True, slots=True)
class TemplatePlan:
    """What the supervisor tells a new template; the fields are those of a `Plan`."""

    worker: str
    queues: list[str]
    overrides: dict[str, Any]
    kits: list[str]


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """`environment`: what differs from the template's own; None removes a variable. `slots`: entries of the table."""

    environment: Mapping[str, str | None]
    slots: int

    def send(self, line: socket.socket, control_fd: int, slots_fd: int) -> None:
        """Raises OSError."""
        socket.send_fds(line, [json.dumps(asdict(self)).encode() + b"\n"], [control_fd, slots_fd])


class Control:
    """The child's end of the line, and the template's. `parent`: the supervisor's pid."""

    def __init__(self, fd: int, parent: int) -> None:
        self._parent = parent
        self._socket = socket.socket(fileno=_out_of_the_way(fd))  # which programs of tasks do not inherit
        self._buffer = b""
        self._kept: deque[dict[str, Any]] = deque()

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        """Ends the process where the supervisor is gone. Raises ConnectionError where the line only is."""
        try:
            self._socket.settimeout(None)
            self._socket.sendall(_dumps(message).encode() + b"\n")
        except OSError:
            self._lost()

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next message; None after `timeout` seconds. As `send` where the supervisor or the line is gone."""
        return self._kept.popleft() if self._kept else self._read(timeout)

    def expect(self, do: str, timeout: float) -> dict[str, Any] | None:
        """The message that says to do this; None after `timeout` seconds. `receive` returns what comes before it."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            message = self._read(left)
            if message is not None and message.get("do") == do:
                return message
            if message is not None:
                self._kept.append(message)
        return None

    def wait_for_fork(self) -> tuple[ForkRequest, int, int]:
        """The next request, and the descriptors that came with it: of a control line, of a slot table. Ends the
        process where the supervisor is gone."""
        self._socket.settimeout(None)
        received, fds = b"", list[int]()
        while not received.endswith(b"\n"):
            try:
                data, more, _, _ = socket.recv_fds(self._socket, 65536, 2)
            except OSError:
                data, more = b"", []
            if not data:
                os._exit(0)
            received += data
            fds += more
        control_fd, slots_fd = fds
        return ForkRequest(**_loads(received)), control_fd, slots_fd

    def detach(self) -> None:
        """In a copy of the child, and in what a template forks: the supervisor hears of this process only."""
        self._socket.close()

    def _lost(self) -> NoReturn:
        if os.getppid() != self._parent:
            os._exit(1)
        raise ConnectionError("a task has closed the control line")

    def _read(self, timeout: float) -> dict[str, Any] | None:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(timeout, 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                self._lost()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = _loads(line)
        return message


def _out_of_the_way(fd: int) -> int:
    """The same under a high number. Where a task closes all descriptors, the next connection takes the lowest number:
    were it that of the line, the child would read from that connection what its supervisor says."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:  # there are not so many
        os.set_inheritable(fd, False)
        return fd
    os.close(fd)
    return high


def die_with_parent(parent: int) -> None:
    """Asks the kernel for SIGKILL when the supervisor's main thread ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before this call
