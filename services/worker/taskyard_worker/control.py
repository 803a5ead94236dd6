"""The line between the supervisor and a child, from the child's end."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

# Held back while a child is started, until it can deal with them.
HELD_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor tells a new child, as one line of JSON."""

    worker_id: str
    worker: str
    index: int
    queues: list[str]
    threads: int
    overrides: dict[str, Any]
    inbox: str
    """As whom it fetches from Redis: what it leaves there when it dies can be told by that."""
    quarantine: bool = False


class Control:
    """JSON objects, one a line."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._buffer = b""

    def say(self, **message: Any) -> None:
        try:
            self._socket.settimeout(None)
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(1)

    def hear(self, timeout: float) -> dict[str, Any] | None:
        """The next message, or None when the time is over. Ends the process where the supervisor is gone."""
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(timeout, 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                os._exit(1)
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard


def die_with_parent(parent: int) -> None:
    """Asks the kernel for SIGKILL when the supervisor's main thread ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before we could ask
