"""What a process that draws a panel tells its parent: JSON objects, one a line, on a descriptor that is theirs alone.

`{"progress": [share, message]}`, `{"log": line}`, and at the end `{"drawn": ...}` or `{"failed": ...}`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TextIO

_MAX_LINE = 2_000
# So many lines at once, then two a second: an hour of them would fill the log of the task otherwise.
MAX_LINES_AT_ONCE = 50
LINES_PER_SECOND = 2
_PROGRESS_SECONDS = 0.25

Clock = Callable[[], float]


class Channel:
    def __init__(self, file: TextIO, clock: Clock = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._lines = float(MAX_LINES_AT_ONCE)
        self._refilled = clock()
        self._left_out = 0

    def say(self, **message: Any) -> None:
        self._file.write(json.dumps(message) + "\n")
        self._file.flush()

    def log(self, line: str) -> None:
        """A line of the log, where the rate allows it."""
        now = self._clock()
        self._lines = min(MAX_LINES_AT_ONCE, self._lines + (now - self._refilled) * LINES_PER_SECOND)
        self._refilled = now
        if self._lines < 1:
            self._left_out += 1
            return
        self._lines -= 1
        self.end_log()
        self.say(log=line[:_MAX_LINE])

    def end_log(self) -> None:
        """Says how many lines were left out since the last one."""
        if self._left_out:
            self.say(log=f"({self._left_out} lines left out)")
            self._left_out = 0


class LogHandler(logging.Handler):
    """Sends what the library logs."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.log(self.format(record))


class Progress:
    """The library's ProgressReporter: each phase is told, and of its steps four a second. How many phases come is not
    known, so each takes half of what is left of the draw."""

    def __init__(self, channel: Channel, clock: Clock = time.monotonic) -> None:
        self._channel = channel
        self._clock = clock
        self._message = ""
        self._total: int | None = None
        self._begin = self._end = 0.0
        self._told = 0.0

    def start_phase(self, name: str, total: int | None = None, *, message: str | None = None) -> None:
        self._message, self._total = message or name, total
        self._begin = self._end
        self._end += (1 - self._end) / 2
        self._tell(0)

    def update(self, current: int, *, message: str | None = None) -> None:
        # Each message differs, and would be a line of the timeline.
        if self._clock() - self._told >= _PROGRESS_SECONDS:
            self._tell(current)

    def end_phase(self) -> None:
        pass

    def _tell(self, current: int) -> None:
        self._told = self._clock()
        done = min(1.0, current / self._total) if self._total else 0.0
        self._channel.say(progress=[self._begin + (self._end - self._begin) * done, self._message])
