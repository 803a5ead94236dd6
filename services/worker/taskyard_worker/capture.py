"""What a task prints, and what it says through `logging`, becomes lines of its log as well."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog

from .context import TaskContext

# What the platform and its libraries say belongs to the service's log only.
_NOT_THE_TASKS = ("taskyard.", "taskyard_worker.", "dramatiq", "sqlalchemy", "asyncio")
# What every line of the service's log carries: in a task's own log it goes without saying.
_KNOWN = {"event", "timestamp", "level", "service", "process", "exc_info", "stack_info", "trace_id"}
_BOUND = ("task_id", "task_name", "attempt", "request_id")
_MAX_LINE = 8192


@dataclass(slots=True)
class _Speaker:
    """A running task, and the line it has not ended yet: `print` writes its arguments one by one."""

    context: TaskContext
    line: str = ""

    def hear(self, text: str) -> None:
        *whole, self.line = (self.line + text).split("\n")
        for line in whole:
            self._say(line)
        if len(self.line) > _MAX_LINE:
            self.end()

    def end(self) -> None:
        line, self.line = self.line, ""
        self._say(line)

    def _say(self, line: str) -> None:
        # After a carriage return a terminal shows only what came last.
        if line := line.rstrip().rpartition("\r")[2]:
            self.context.log(line, level="info")


_speaker: ContextVar[_Speaker | None] = ContextVar("taskyard_task", default=None)


@contextmanager
def current(context: TaskContext) -> Iterator[None]:
    """While the block runs, prints and log records of this thread (or coroutine) belong to the task."""
    speaker = _Speaker(context)
    token = _speaker.set(speaker)
    structlog.contextvars.bind_contextvars(
        task_id=str(context.task_id),
        task_name=context.name,
        attempt=context.attempt,
        request_id=context.request_id,
    )
    try:
        yield
    finally:
        structlog.contextvars.unbind_contextvars(*_BOUND)
        _speaker.reset(token)
        if speaker.line:
            speaker.end()


def _is_ours(name: str) -> bool:
    return name.startswith(_NOT_THE_TASKS) and not name.startswith("taskyard_worker.tasks.")


def _text(record: logging.LogRecord) -> str:
    said: Any = record.msg
    if not isinstance(said, dict):
        return record.getMessage()
    # Through structlog: an event and its details.
    details = " ".join(f"{k}={v}" for k, v in said.items() if k not in _KNOWN and k not in _BOUND)
    return f"{said.get('event', '')} {details}".strip()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        speaker = _speaker.get()
        if speaker is None or _is_ours(record.name):
            return
        try:
            speaker.context.log(_text(record), level=record.levelname.lower())
        except Exception:  # noqa: BLE001 - logging must not fail a task
            self.handleError(record)


class _Stream(io.TextIOBase):
    """Passes text on, and whole lines of a running task to its log."""

    def __init__(self, inner: io.TextIOBase) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        speaker = _speaker.get()
        if speaker is not None:
            speaker.hear(text)
        return self._inner.write(text)

    def flush(self) -> None:
        self._inner.flush()

    def isatty(self) -> bool:
        return self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._inner.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._inner.errors

    @property
    def buffer(self) -> Any:
        """Bytes that are written here are nobody's lines."""
        return getattr(self._inner, "buffer")  # noqa: B009 - a StringIO has none


def install() -> None:
    """Once a child."""
    handler = _Handler(logging.INFO)
    logging.getLogger().addHandler(handler)
    sys.stdout = _Stream(sys.stdout)  # type: ignore[arg-type]
