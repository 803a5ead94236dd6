"""Capture: what a task prints or logs through `logging` becomes lines of its own log as well.

Its secret parameters are replaced in both: in its own log, and on the way to the service's output.
"""

from __future__ import annotations

import functools
import io
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

import structlog
from structlog.typing import EventDict

from .context import TaskContext

# Log records of the platform and its libraries belong to the service's log only.
_NOT_THE_TASKS = ("taskyard.", "taskyard_worker.", "dramatiq", "sqlalchemy", "asyncio")
# Keys that every line of the service's log carries; a task's own log does not need them.
_KNOWN = {"event", "timestamp", "level", "service", "process", "exc_info", "stack_info", "trace_id"}
_BOUND = ("task_id", "task_name", "attempt", "request_id", "trace_id")
_MAX_LINE = 8192


@dataclass(slots=True)
class _Speaker:
    """A running task, and its unfinished line of each stream: `print` writes its arguments one by one."""

    context: TaskContext
    open: dict[_Stream, str] = field(default_factory=dict)
    token: Token[_Speaker | None] | None = None

    def take(self, stream: _Stream, text: str) -> str:
        """Takes what is written; returns what the service's output may show: whole lines, because a secret may be
        written in pieces."""
        with self.context.shield:
            *whole, last = (self.open.pop(stream, "") + text).split("\n")
            shown = "".join([f"{self._say(line)}\n" for line in whole])
            if len(last) > _MAX_LINE:
                return shown + self._say(last)
            if last:
                self.open[stream] = last
            return shown

    def __enter__(self) -> None:
        self.token = _speaker.set(self)
        structlog.contextvars.bind_contextvars(
            task_id=str(self.context.task_id),
            task_name=self.context.name,
            attempt=self.context.attempt,
            request_id=self.context.request_id,
            trace_id=self.context.trace_id,
        )

    def __exit__(self, *_: object) -> None:
        structlog.contextvars.unbind_contextvars(*_BOUND)
        if self.token is not None:
            _speaker.reset(self.token)
        for stream, line in self.open.items():
            stream.pass_on(self._say(line))
        self.open.clear()

    def _say(self, line: str) -> str:
        # A terminal shows only what follows the last carriage return.
        if said := line.rstrip().rpartition("\r")[2]:
            self.context.log(said, level="info")
        return self.context.redact(line)


_speaker: ContextVar[_Speaker | None] = ContextVar("taskyard_task", default=None)


def current(context: TaskContext) -> AbstractContextManager[None]:
    """While the block runs, prints and log records of this thread (or coroutine) belong to the task."""
    return _Speaker(context)


def _is_ours(name: str) -> bool:
    return name.startswith(_NOT_THE_TASKS)


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
    """Passes text on. What a running task writes goes to its log as well, in whole lines."""

    def __init__(self, inner: io.TextIOBase) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        speaker = _speaker.get()
        if speaker is None:
            return self._inner.write(text)
        if shown := speaker.take(self, text):
            self.pass_on(shown)
        return len(text)

    def pass_on(self, text: str) -> None:
        self._inner.write(text)

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
        """Bytes that are written here are not captured."""
        return getattr(self._inner, "buffer")  # noqa: B009 - a StringIO has none


# Written by the platform, so they hold no value of the task.
_PLAIN = (*_BOUND, "timestamp", "level", "service", "process")


def _without_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """A processor for the service's log: lines that are written while a task runs lose the task's secrets."""
    speaker = _speaker.get()
    if speaker is None or speaker.context.redact is str:
        return event
    # Formatted here, because the renderer would write the traceback later, with its secrets.
    event = structlog.processors.format_exc_info(_, __, event)
    return {key: value if key in _PLAIN else _struck(value, speaker.context) for key, value in event.items()}


def _struck(value: Any, context: TaskContext) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {context.redact(str(key)): _struck(item, context) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_struck(item, context) for item in value]
    return context.redact(value if isinstance(value, str) else repr(value))


def _uninterrupted(handle: Callable[[logging.LogRecord], Any], record: logging.LogRecord) -> Any:
    """Handles a record within the shield: an interrupted task would keep the handler's lock."""
    speaker = _speaker.get()
    with speaker.context.shield if speaker is not None else nullcontext():
        return handle(record)


def keep_secrets() -> None:
    """Call once after logging was set up: the service's log then shows no secrets of running tasks, and interrupts do
    not disturb it."""
    for service in logging.getLogger().handlers:
        service.handle = functools.partial(_uninterrupted, service.handle)  # type: ignore[method-assign]
        if isinstance(service.formatter, structlog.stdlib.ProcessorFormatter):
            *before, render = service.formatter.processors
            service.formatter.processors = (*before, _without_secrets, render)


def install() -> None:
    """Call once a child, after logging was set up."""
    logging.getLogger().addHandler(_Handler(logging.INFO))
    keep_secrets()
    # The service's own log handlers keep the former standard error.
    sys.stdout = _Stream(sys.stdout)  # type: ignore[arg-type]
    sys.stderr = _Stream(sys.stderr)  # type: ignore[arg-type]
