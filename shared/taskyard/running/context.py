"""TaskContext: what the platform offers to a running task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from ..catalogue.types import TaskType
from ..storage.interface import Storage
from ..telemetry.trace_context import trace_id_of
from .attributes import NO_ATTRIBUTES, Attribute, Attributes, shown
from .batches import SIZE, Batches, KeptMarks, Marks
from .child import Child
from .database import Database, Transaction
from .scratch import Scratch
from .speech import Redact, name_of, said
from .upkeep import NO_UPKEEP, NoUpkeep, Upkeep
from .webhooks import NO_WEBHOOKS, NoWebhooks, Webhooks

T = TypeVar("T")

MAX_LOG_LINES = 1000
MAX_LOG_BYTES = 256 * 1024
MAX_LINE = 8192  # characters of one line
MAX_MESSAGE = 1000
_MAX_LEVEL = 20
# Up to here every reader of JSON takes an integer exactly.
_MOST = 2**53


class Sink(Protocol):
    """Where progress and log lines go: the child's writer, or a list in a test. No method waits for a server."""

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None: ...


class Interrupts(Protocol):
    """What may be raised into the task from outside: see `child.interrupts` and `child.event_loop`."""

    def check(self) -> None: ...


# Commits children of a running task; returns their ids.
Submitter = Callable[["TaskContext", Sequence[Child]], list[UUID]]


@dataclass(slots=True)
class TaskContext:
    """Given to every task function that has a parameter `context`.

    `settings` are those of the task's kit: an object of the class that its manifest names, or None. `attempt` counts
    from 1. `memory_bytes` is what its process may have, None where nothing limits it. `soft_deadline` is on the clock
    of `time.monotonic()`. `webhooks` are registered endpoints, for coroutines; `upkeep` is for
    maintenance. `progress` and `log` return at once: the
    newest progress is written a few times a second, and all log lines and changes of the progress message are kept (up
    to 1,000 lines or 256 KiB a task).
    """

    task_id: UUID
    claim: UUID
    name: str
    attempt: int
    settings: Any
    storage: Storage
    sink: Sink
    submitter: Submitter
    database: Database
    scratch: Scratch = field(default_factory=lambda: Scratch(None, ""))
    webhooks: Webhooks | NoWebhooks = NO_WEBHOOKS
    upkeep: Upkeep | NoUpkeep = NO_UPKEEP
    memory_bytes: int | None = None
    soft_deadline: float = float("inf")
    marks: Marks = field(default_factory=KeptMarks)
    attributes: Attributes = NO_ATTRIBUTES
    tags: Sequence[str] = ()
    request_id: str | None = None
    traceparent: str | None = None
    submitted_by: str | None = None
    allowed_queues: Sequence[str] | None = None
    workflow_id: UUID | None = None
    redact: Redact = str
    interrupts: Interrupts | None = None
    shield: AbstractContextManager[None] = field(default_factory=nullcontext)
    _stage: str = field(default="", repr=False)
    _walks: bool = field(default=False, repr=False)
    _lines: int = field(default=0, repr=False)
    _bytes: int = field(default=0, repr=False)

    @property
    def temp_dir(self) -> Path:
        """A directory for this attempt alone, empty at first, and removed with all that is in it at the attempt's end,
        also where its process is killed. Raises OSError where it cannot be made."""
        with self.shield:
            return self.scratch.path()

    @property
    def trace_id(self) -> str | None:
        """The id of the trace that the submit belonged to."""
        return trace_id_of(self.traceparent)

    def progress(self, current: float, total: float | None = None, message: str = "") -> None:
        """Reports how far the task is: `current` of `total`, and in `message` what it does now.

        A message that differs from the last one also becomes a line of the timeline.

        Raises TypeError for what is no number, and ValueError for one that is not finite, or beyond 2**53.
        """
        with self.shield:
            at = _number("current", current)
            of = None if total is None else _number("total", total)
            message = said(message, self.redact)[:MAX_MESSAGE]
            self.sink.progress(self.task_id, self.claim, at, of, message)
            if message and message != self._stage:
                self._stage = message
                self._note("stage", {"message": message, "current": at, "total": of}, len(message))

    def log(self, message: str, *, level: str = "info") -> None:
        """Writes a line to the task's log. Of a line of more than 8,192 characters the rest is left out."""
        with self.shield:
            message = said(message, self.redact)
            if len(message) > MAX_LINE:
                message = f"{message[:MAX_LINE]}… [cut: the line has {len(message):,} characters]"
            self._note("log", {"message": message, "level": said(level, self.redact, _MAX_LEVEL)}, len(message))

    def _note(self, kind: str, data: dict[str, Any], size: int) -> None:
        if self._lines > MAX_LOG_LINES or self._bytes > MAX_LOG_BYTES:
            return
        self._lines += 1
        self._bytes += size
        if self._lines > MAX_LOG_LINES or self._bytes > MAX_LOG_BYTES:
            data = {"message": "further lines of this attempt are not kept", "level": "warning"}
            kind = "log"
        self.sink.note(self.task_id, self.claim, kind, data)

    def set_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        """Sets attributes of this run's span; does nothing where traces are off.

        Names are as `invoices.sent`, values text (up to 1,000 characters), numbers, bools and lists of texts. Secrets
        of the task are struck out. Leave out what identifies people. Up to 64 of a run are kept.
        """
        with self.shield:
            self.attributes.set(self.task_id, self.attempt, shown(attributes, self.redact))

    def check_cancelled(self) -> None:
        """Raises TaskCancelled where the task was cancelled, and SoftTimeLimitExceeded where its time is over.

        Both are raised anyway wherever the task runs Python code of its own. Call this inside `context.db()`, whose end
        they wait for, and in coroutines that seldom wait.
        """
        if self.interrupts is not None:
            self.interrupts.check()

    def submit(
        self,
        task: Callable[..., Any] | TaskType[Any, Any] | str,
        params: Mapping[str, Any],
        *,
        queue: str | None = None,
        delay: timedelta | float | None = None,
        tags: Sequence[str] = (),
        key: str | None = None,
        into_workflow: bool = False,
    ) -> UUID:
        """Submits a child of this task, durably; returns its id. `task`: a decorated function, a task type, or the name
        of a type, which any live worker may run. `params` may hold what Pydantic can write as JSON, and secrets.
        With the same `key` again, in any attempt, the child is the one that was submitted first.
        `into_workflow`: it becomes a step of this task's workflow, and what needs this task waits for it, too.

        Raises TypeError for another function, TypeError and ValueError for a queue, a delay (a timedelta or seconds) or
        tags that no task can have, ValueError for `into_workflow` where this task is no step of a workflow or the
        parameters have a reference, TaskError where the workflow would have more than 10,000 steps and where the API
        would refuse the submit (an unknown name or queue, a queue that is not allowed or that no worker serves for the
        type, parameters that don't fit), and Fenced where this attempt has lost its claim.
        """
        return self.submit_many([Child(task, params, queue, delay, tags, key, into_workflow)])[0]

    def submit_many(self, children: Sequence[Child]) -> list[UUID]:
        """Submits many children, 1,000 a transaction; returns their ids in order."""
        if not children:
            return []
        if self.workflow_id is None and any(child.into_workflow for child in children):
            raise ValueError("into_workflow: this task is no step of a workflow")
        with self.shield:
            return self.submitter(self, children)

    def batches(
        self, items: Iterable[T], *, total: int | None = None, message: str = "", size: int = SIZE
    ) -> Batches[T]:
        """The items in lists of `size`: `for batch in context.batches(items)`, in a coroutine `async for`.

        Behind each batch a mark is stored with the task, the progress is told (of `total`, which a list knows itself),
        and others get 10 ms. Another attempt begins behind the mark, also after a crash and after a retry that a person
        asks for: `items` have to be the same, in the same order. A batch that was under way comes again, as a whole.
        Cancellation ends the walk at once. Where the soft limit is near, the task is given back between two batches,
        at no cost, and goes on in another attempt.

        Raises RuntimeError for a second walk in an attempt, because a task has one mark, and ValueError for a size
        below 1; the walk raises Fenced where this attempt has lost its claim, and LedgerUnavailable.
        """
        if self._walks:
            raise RuntimeError("a task has one mark: context.batches() is called once in an attempt")
        if size < 1:
            raise ValueError(f"a batch of {size} items: give 1 or more")
        self._walks = True
        return Batches(self, items, total=total, message=message, size=size)

    def db(self) -> Transaction:
        """A connection to PostgreSQL with one transaction, which is committed where the block ends without an error.

        `with context.db() as conn` in a function: a cancellation or a time limit is raised after the block.
        `async with context.db() as conn` in a coroutine, with an AsyncConnection: either is raised where the coroutine
        waits, and undoes the transaction.

        The role of the connection cannot touch the platform's own tables. Raises TaskError where the worker has no such
        role, and LedgerUnavailable where PostgreSQL does not answer.
        """
        return Transaction(self._shielded_transaction(), self.database.async_transaction())

    @contextmanager
    def _shielded_transaction(self) -> Iterator[Connection]:
        with self.shield, self.database.transaction() as conn:
            yield conn

    @property
    def seconds_left(self) -> float:
        """Seconds until the soft limit."""
        return self.soft_deadline - time.monotonic()


def _number(name: str, value: Any) -> float:
    """The number as JSON has it. Made plain here, in the task's own thread: its code may do anything."""
    made: int | float
    if type(value) is int:
        made = value
    else:
        if isinstance(value, bool) or not isinstance(value, Real | Decimal):
            raise TypeError(f"progress: {name} is of type {name_of(type(value))}, which is no number")
        try:
            made = float(value)
        except OverflowError:
            made = math.inf
    if not -_MOST <= made <= _MOST:
        raise ValueError(f"progress: {name} is {_in_short(made)}; it may be up to {_MOST} (2**53) either way")
    return made


def _in_short(value: float) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    return str(value)
