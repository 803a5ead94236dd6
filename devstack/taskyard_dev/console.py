"""The output of `taskyard up`: lines of several services, each after the service's name."""

import itertools
import os
import sys
import threading
from typing import TextIO

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


class Console:
    """Whole lines, one at a time, from any thread. Colours on a terminal, unless NO_COLOR is set."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._colours = itertools.cycle(_COLOURS)
        self._prefixes: dict[str, str] = {}
        self._width = 0
        self._lock = threading.Lock()

    def names(self, *names: str) -> None:
        """Announces the names of all services, so that they can be aligned in a column."""
        self._width = max(self._width, *map(len, names))
        for name in names:
            self._prefixes[name] = self._styled(f"{name:{self._width}} |", next(self._colours))

    def line(self, name: str, text: str) -> None:
        """One line of a service."""
        self._write(f"{self._prefixes.get(name, name)} {text}\n")

    def say(self, text: str = "") -> None:
        """A message of `taskyard up` itself."""
        self._write(f"{text}\n")

    def bold(self, text: str) -> str:
        return self._styled(text, 1)

    def _styled(self, text: str, style: int) -> str:
        return f"\033[{style}m{text}\033[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        with self._lock:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                # The terminal was closed, or `| head` has ended: the stack goes on.
                return
