"""What a task may not take away from those that follow it in its process: standard descriptors, and the log's handlers.

`os.close(1)`, `logging.basicConfig(force=True)` and `logging.disable()` hold for the whole process.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
from contextlib import suppress

from .speaker import put_back_before_each


class _Polled(ctypes.Structure):
    """poll(2) with no events: it says which descriptors are closed."""

    _fields_ = (("number", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


# Not `os.fstat` or `select.poll`, which let another thread take the interpreter: before each quick task, that costs
# more than the task. PyDLL keeps it for the call.
_poll = ctypes.PyDLL(None).poll


def keep() -> None:
    """Call once a child, after logging was set up. What hooks and modules change before the first task stays."""
    put_back_before_each.extend([_Descriptors().put_back, _Log().put_back])


class _Descriptors:
    """A number that is free again would be that of the next connection, and prints would be written into it."""

    def __init__(self) -> None:
        self._copies: dict[int, int] = {}
        for number in (0, 1, 2):
            with suppress(OSError):  # the process was started without it
                self._copies[number] = os.dup(number)

        self._looked_at = (_Polled * len(self._copies))(*(_Polled(number) for number in self._copies))

    def put_back(self) -> None:
        if _poll(self._looked_at, len(self._looked_at), 0) > 0:
            for polled in self._looked_at:
                if polled.revents & select.POLLNVAL:
                    with suppress(OSError):
                        os.dup2(self._copies[polled.number], polled.number)


class _Log:
    def __init__(self) -> None:
        self._handlers: list[logging.Handler] | None = None
        self._disabled = 0

    def put_back(self) -> None:
        root = logging.getLogger()
        if self._handlers is None:
            self._handlers, self._disabled = list(root.handlers), root.manager.disable
        if root.manager.disable != self._disabled:
            logging.disable(self._disabled)
        for handler in self._handlers:
            if handler not in root.handlers:
                root.addHandler(handler)
