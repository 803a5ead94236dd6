"""The task that runs here: in this thread, in a thread that it has started, or in this coroutine."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from ..telemetry import logging
from .context import MAX_LINE, TaskContext
from .speech import Redact, longest

BOUND = ("task_id", "task_name", "attempt", "request_id", "trace_id")

# What `print` finds (`streams.py`): put back before each task, because one may have taken it away.
printed: dict[str, object] = {}
# What else a task may have taken away (`kept.py`).
put_back_before_each: list[Callable[[], None]] = []
# Those of running tasks that have secrets: the service's log shows none of them, whoever writes the line.
_redacts: dict[int, Redact] = {}


class Output(Protocol):
    """The worker's standard output or error."""

    def pass_on(self, text: str) -> None: ...


@dataclass(slots=True, eq=False)
class Speaker:
    """A running task; the unfinished lines of its threads, because `print` writes its arguments one by one; and what it
    has put in the place of `sys.stdout` and `sys.stderr`, by name."""

    context: TaskContext
    replaced: dict[str, Any] = field(default_factory=dict)
    open: dict[tuple[Output, int], str] = field(default_factory=dict)
    token: Token[Speaker | None] | None = None

    def take(self, output: Output, text: str) -> str:
        """Takes what is written; returns what the service's output may show: whole lines, because a secret may be
        written in pieces."""
        with self.context.shield:
            place = output, threading.get_ident()
            *whole, last = (self.open.pop(place, "") + text).split("\n")
            shown = "".join([f"{self._say(line)}\n" for line in whole])
            # What may be the beginning of a secret waits for the rest of it.
            kept = max(0, longest(self.context.redact) - 1)
            if len(last) > MAX_LINE + kept:
                last = self.context.redact(last)
                at = len(last) - kept
                at = MAX_LINE if at < 2 * MAX_LINE else at  # what was written at once is one line
                shown, last = f"{shown}{self._say(last[:at])}\n", last[at:]
            if last:
                self.open[place] = last
            return shown

    def __enter__(self) -> None:
        vars(sys).update(printed)
        for put_back in put_back_before_each:
            put_back()
        self.token = _speaker.set(self)
        if self.context.redact is not str:
            _redacts[id(self)] = self.context.redact

    def __exit__(self, *_: object) -> None:
        if self.token is not None:
            _speaker.reset(self.token)
        structlog.contextvars.unbind_contextvars(*BOUND)  # the next task of this thread may be another's
        if self.open:
            self._finish_lines(list(self.open))
        _redacts.pop(id(self), None)

    def run_thread(self, run: Callable[[], None]) -> None:
        """What a thread of the task's own does."""
        try:
            run()
        except BaseException as e:  # noqa: BLE001 - told here: afterwards it would be told outside of the task
            told = type(e), e, e.__traceback__, threading.current_thread()
            threading.excepthook(threading.ExceptHookArgs(told))
        finally:
            self._finish_lines([place for place in list(self.open) if place[1] == threading.get_ident()])

    def _finish_lines(self, places: list[tuple[Output, int]]) -> None:
        for place in places:
            if line := self.open.pop(place, ""):
                place[0].pass_on(f"{self._say(line)}\n")  # what comes next is a line of its own

    def _say(self, line: str) -> str:
        # A terminal shows only what follows the last carriage return.
        if said := line.rstrip().rpartition("\r")[2]:
            self.context.log(said, level="info")
        return self.context.redact(line)


_speaker: ContextVar[Speaker | None] = ContextVar("taskyard_task", default=None)
speaker = _speaker.get


def current(context: TaskContext) -> AbstractContextManager[None]:
    """While the block runs, prints and log records of this thread (or coroutine), and of threads that it starts, belong
    to the task."""
    return Speaker(context)


def named_here() -> dict[str, Any]:
    """What each line of the service's log carries that is written in a task: made for the line, because most tasks
    write none."""
    if (here := speaker()) is None:
        return {}
    context = here.context
    told = str(context.task_id), context.name, context.attempt, context.request_id, context.trace_id
    return dict(zip(BOUND, told, strict=True))


def redact_here() -> Redact:
    """What the service's log must not show of a line that is written here. Outside of tasks (asyncio reports an error
    that nobody has awaited) that is what any of the running ones must not show."""
    if (here := speaker()) is not None:
        return here.context.redact
    every = [*_redacts.values()]
    return functools.partial(_redacted, every) if every else str


def _redacted(every: list[Redact], text: str) -> str:
    for redact in every:
        text = redact(text)
    return text


logging.contexts.append(named_here)


def follow_into_threads() -> None:
    """Call once a process. Context variables do not cross into threads (before Python 3.14), so threads of a task, and
    what it gives to a pool of threads, take its context with them."""
    start: Any = threading.Thread.start
    submit: Any = ThreadPoolExecutor.submit

    @functools.wraps(start)
    def start_in_context(thread: threading.Thread) -> None:
        if (here := speaker()) is not None:
            thread.run = functools.partial(copy_context().run, here.run_thread, thread.run)  # type: ignore[method-assign]
        start(thread)

    @functools.wraps(submit)
    def submit_in_context(pool: ThreadPoolExecutor, function: Any, /, *args: Any, **more: Any) -> Any:
        # Always: a pool's thread may have been started by another task.
        return submit(pool, copy_context().run, function, *args, **more)

    setattr(threading.Thread, "start", start_in_context)  # noqa: B010 - no method of theirs for the type checker
    setattr(ThreadPoolExecutor, "submit", submit_in_context)  # noqa: B010
