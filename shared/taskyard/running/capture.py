"""Capture: what a task prints or logs through `logging` becomes lines of its own log as well.

Its secrets are replaced in both: in its own log, and on the way to the service's output.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import structlog
from structlog.typing import EventDict

from . import kept, speaker, streams
from .speaker import BOUND, redact_here
from .speech import Redact, text_of

# Log records of the platform and its libraries belong to the service's log only.
_NOT_THE_TASKS = ("taskyard.", "taskyard_worker.", "dramatiq", "sqlalchemy", "asyncio", "opentelemetry")
# Keys that every line of the service's log carries; a task's own log does not need them.
_KNOWN = {"event", "timestamp", "level", "service", "process", "exc_info", "stack_info", "trace_id", "span_id"}


def _is_ours(name: str) -> bool:
    return name.startswith(_NOT_THE_TASKS)


def _text(record: logging.LogRecord) -> str:
    said: Any = record.msg
    if not isinstance(said, dict):
        return record.getMessage()
    # Through structlog: an event and its details.
    details = " ".join(f"{text_of(k)}={text_of(v)}" for k, v in said.items() if k not in _KNOWN and k not in BOUND)
    return f"{text_of(said.get('event', ''))} {details}".strip()


class Handler(logging.Handler):
    """Makes lines of a task's log of the records that are logged in it."""

    def emit(self, record: logging.LogRecord) -> None:
        here = speaker.speaker()
        if here is None or _is_ours(record.name):
            return
        try:
            told = _text(record)
        except Exception:  # noqa: BLE001 - logging must not fail a task
            told = f"{text_of(record.msg)} (the message cannot be made)"
        here.context.log(told, level=text_of(record.levelname).lower())


# Written by the platform, so they hold no value of the task.
_PLAIN = (*BOUND, "timestamp", "level", "service", "process")


def _without_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """A processor for the service's log: lines that are written while a task runs lose the task's secrets."""
    redact = redact_here()
    if redact is str:
        return event
    # Formatted here, because the renderer would write the traceback later, with its secrets.
    event = structlog.processors.format_exc_info(_, __, event)
    return {key: value if key in _PLAIN else _struck(value, redact) for key, value in event.items()}


def _struck(value: Any, redact: Redact) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {redact(text_of(key)): _struck(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_struck(item, redact) for item in value]
    return redact(value if isinstance(value, str) else repr(value))


def _uninterrupted(handle: Callable[[logging.LogRecord], Any], record: logging.LogRecord) -> Any:
    """Handles a record within the shield: an interrupted task would keep the handler's lock."""
    here = speaker.speaker()
    with here.context.shield if here is not None else nullcontext():
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
    logging.getLogger().addHandler(Handler(logging.INFO))
    keep_secrets()
    # The service's own log handlers keep the former standard error.
    streams.separate()
    kept.keep()
    speaker.follow_into_threads()
