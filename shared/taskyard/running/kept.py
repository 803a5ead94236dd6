"""What a task may not take away from those that follow it in its process: standard descriptors, and the log's handlers.

`os.close(1)`, `logging.basicConfig(force=True)` and `logging.disable()` hold for the whole process.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from .speaker import put_back_before_each


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

    def put_back(self) -> None:
        for number, copy in self._copies.items():
            try:
                os.fstat(number)
            except OSError:
                with suppress(OSError):
                    os.dup2(copy, number)


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
