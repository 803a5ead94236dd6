"""What a task prints, and what it says through `logging`, becomes lines of its log as well."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from .context import TaskContext

_context: ContextVar[TaskContext | None] = ContextVar("taskyard_task", default=None)
# What the platform and its libraries say belongs to the service's log only.
_NOT_THE_TASKS = ("taskyard.", "taskyard_worker.", "dramatiq", "sqlalchemy", "asyncio")


@contextmanager
def current(context: TaskContext) -> Iterator[None]:
    """While the block runs, prints and log records of this thread (or coroutine) belong to the task."""
    token = _context.set(context)
    structlog.contextvars.bind_contextvars(
        task_id=str(context.task_id),
        task_name=context.name,
        attempt=context.attempt,
        request_id=context.request_id,
    )
    try:
        yield
    finally:
        structlog.contextvars.unbind_contextvars("task_id", "task_name", "attempt", "request_id")
        _context.reset(token)


def _is_ours(name: str) -> bool:
    return name.startswith(_NOT_THE_TASKS) and not name.startswith("taskyard_worker.tasks.")


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        context = _context.get()
        if context is None or _is_ours(record.name):
            return
        try:
            context.log(record.getMessage(), level=record.levelname.lower())
        except Exception:  # noqa: BLE001 - logging must not fail a task
            self.handleError(record)


class _Stream(io.TextIOBase):
    """Passes text on, and whole lines of a running task to its log."""

    def __init__(self, inner: io.TextIOBase) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        context = _context.get()
        if context is not None:
            for line in text.splitlines():
                if line.strip():
                    context.log(line, level="info")
        return self._inner.write(text)

    def flush(self) -> None:
        self._inner.flush()

    def isatty(self) -> bool:
        return self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno()


def install() -> None:
    """Once a child."""
    handler = _Handler(logging.INFO)
    logging.getLogger().addHandler(handler)
    sys.stdout = _Stream(sys.stdout)  # type: ignore[arg-type]
