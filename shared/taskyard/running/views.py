"""A run and a submit, as hooks see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ..catalogue.secrets import masked
from ..lifecycle.claim import Claimed
from ..lifecycle.submit import NewTask
from ..telemetry.trace_context import trace_id_of


class View:
    """A task as hooks see it; read-only. `params` are as the ledger stores them, with `***` for each secret: they are
    masked when they are read. `traceparent` is that of W3C Trace Context, as the submit brought it."""

    __slots__ = ("_task",)

    def __init__(self, task: Claimed | NewTask) -> None:
        self._task = task

    @property
    def task_id(self) -> UUID:
        return self._task.id

    @property
    def name(self) -> str:
        """The name of the task type."""
        return self._task.name

    @property
    def version(self) -> int:
        """The version of the type that the task was submitted for."""
        return self._task.version

    @property
    def queue(self) -> str:
        return self._task.queue

    @property
    def max_attempts(self) -> int:
        return self._task.max_attempts

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._task.tags)

    @property
    def request_id(self) -> str | None:
        return self._task.request_id

    @property
    def traceparent(self) -> str | None:
        return self._task.traceparent

    @property
    def trace_id(self) -> str | None:
        return trace_id_of(self._task.traceparent)

    @property
    def submitted_by(self) -> str | None:
        return self._task.submitted_by

    @property
    def params(self) -> dict[str, Any]:
        """A copy, made at each call."""
        shown: dict[str, Any] = masked(self._task.params)
        return shown


class Run(View):
    """One attempt. `seconds` is how long it ran; None before it has ended."""

    __slots__ = ("_seconds",)
    _task: Claimed

    def __init__(self, work: Claimed, seconds: float | None = None) -> None:
        super().__init__(work)
        self._seconds = seconds

    @property
    def seconds(self) -> float | None:
        return self._seconds

    @property
    def attempt(self) -> int:
        """Counts from 1."""
        return self._task.attempt


class Submit(View):
    """A new task, before and after it is stored."""

    __slots__ = ()
    _task: NewTask

    @property
    def parent_id(self) -> UUID | None:
        """The task that submits it, if one does."""
        return self._task.parent_id
