"""The supervisor's end of a control line (`control.py` says what goes over it)."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

import structlog

from ..control import MAX_LINE_BYTES

log = structlog.stdlib.get_logger(__name__)


class Line:
    """`child` names the other process in logs.

    `is_closed` once the other end is closed and all that was sent before has been received; `is_overlong` once it has
    sent a line without an end.
    """

    def __init__(self, end: socket.socket, child: int | str) -> None:
        end.setblocking(False)
        self.socket = end
        self.is_closed = False
        self.is_overlong = False
        self._child = child
        self._received = b""

    def send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the process is dying, and its exit will be seen
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]]:
        """The messages since the last call."""
        while not self.is_closed and len(self._received) <= MAX_LINE_BYTES:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.is_closed = not data
            self._received += data
        *lines, self._received = self._received.split(b"\n")
        if len(self._received) > MAX_LINE_BYTES:
            self._received, self.is_overlong = b"", True
        messages = []
        for line in lines:
            try:
                messages.append(dict(json.loads(line)))
            except (ValueError, TypeError, RecursionError):
                log.warning("child_unintelligible", child=self._child)
        return messages

    def close(self) -> None:
        self.socket.close()
