"""Logging through structlog, for `logging` as well: JSON in containers, coloured lines on a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from structlog.typing import Processor

_NOT_SHOWN = "line_not_shown"
# What else each line carries, by where it is written: asked for each line.
contexts: list[Callable[[], Mapping[str, Any]]] = []


def set_up_logging(service: str, *, level: str = "info", style: str = "auto", process: str | None = None) -> None:
    """Routes structlog and the standard library through one pipeline to standard error.

    `style` is `json`, `console` or `auto` (console where standard error is a terminal). Every line carries
    `timestamp, level, event, service, process` and what is bound in context variables
    (`request_id`, `task_id`, `task_name`, `attempt`, `trace_id`).
    """
    name_process(process or str(os.getpid()))
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        _merge_contexts,  # first: what a task binds under these names does not count
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _constants(service),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Processor = structlog.processors.JSONRenderer()
    if console:
        # Plain tracebacks: those of rich print local variables, API keys and parameters among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    tail: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not console:
        tail.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # What a handler fails at is told by `_Output`; `logging` would write a traceback and the arguments, with secrets of
    # tasks, past the pipeline.
    logging.raiseExceptions = False
    logging.setLogRecordFactory(_Record)
    handler = _Output(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*tail, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A job that is still busy when it is due again is skipped by design; APScheduler would log that as a warning.
    logging.getLogger("apscheduler").setLevel(max(root.level, logging.ERROR))
    for noisy in ("dramatiq", "httpx", "httpx2", "httpcore", "httpcore2", "uvicorn.access", "alembic", "PIL"):
        logging.getLogger(noisy).setLevel(max(root.level, logging.WARNING))


def _merge_contexts(_: Any, __: str, event: Any) -> Any:
    for context in contexts:
        for name, value in context().items():
            event.setdefault(name, value)
    return event


class _Record(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 - logging's name
        try:
            return super().getMessage()
        except Exception:  # noqa: BLE001 - the arguments do not fit, or their own code fails
            return f"{self.msg if isinstance(self.msg, str) else type(self.msg).__name__} (the message cannot be made)"


class _Output(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tells that there was a line, instead of one that cannot be rendered."""
        if record.msg != _NOT_SHOWN:  # else nothing can be written at all
            told = logging.LogRecord(
                record.name, record.levelno, record.pathname, record.lineno, _NOT_SHOWN, None, None
            )
            told.__dict__["error"] = type(sys.exception()).__name__
            self.emit(told)


def name_process(name: str) -> None:
    """From now on the lines carry this `process`: in a process that was forked after `set_up_logging`. Loggers keep
    the processors that they were first used with, so these are not set up again."""
    global _process  # noqa: PLW0603 - as above
    _process = name


_process = ""


def _constants(service: str) -> Processor:
    def add(_: Any, __: str, event: Any) -> Any:
        event.setdefault("service", service)
        event.setdefault("process", _process)
        event.pop("color_message", None)  # uvicorn's copy of the message, with escape codes
        return event

    return add
