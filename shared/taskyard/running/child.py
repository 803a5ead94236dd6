"""Child: a task that a running task submits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import timedelta
from typing import Any

from ..catalogue.types import TaskType, type_of
from ..domain.errors import time_until
from .speech import name_of, said

_MAX_TAGS = 20
_MAX_TAG = 64  # characters
_MAX_KEY = 512


@dataclass(frozen=True, slots=True)
class Child:
    """`task`: a decorated function, a task type, or the name of a type. `delay` is a timedelta or a number of seconds.
    Of the children of a task with the same `key` there is one: the first that was submitted, in all attempts.
    `into_workflow`: it becomes a step of the workflow of the task that submits it.

    Raises TypeError for another function, and TypeError and ValueError for a queue, a delay, tags or a key that no task
    can have.
    """

    task: InitVar[Callable[..., Any] | TaskType[Any, Any] | str]
    params: Mapping[str, Any]
    queue: str | None = None
    delay: timedelta | float | None = None
    tags: Sequence[str] = ()
    key: str | None = None
    into_workflow: bool = False
    task_type: TaskType[Any, Any] | str = field(init=False)

    def __post_init__(self, task: Callable[..., Any] | TaskType[Any, Any] | str) -> None:
        task_type = task if isinstance(task, str) else type_of(task)
        if task_type is None:
            raise TypeError(f"{task!r:.200} is no task: decorate it with @task")
        object.__setattr__(self, "task_type", task_type)
        if self.queue is not None:
            _check_text("queue", self.queue)
        if self.key is not None:
            _check_text("key", self.key, _MAX_KEY)
        _ = self.delay_seconds
        if not isinstance(self.tags, Collection) or isinstance(self.tags, str | bytes | Mapping):
            raise TypeError(f"tags is of type {name_of(type(self.tags))}: give a list of texts")
        if len(self.tags) > _MAX_TAGS:
            raise ValueError(f"tags has {len(self.tags)} texts; a task has {_MAX_TAGS} at most")
        for tag in self.tags:
            _check_text("tags", tag, _MAX_TAG)

    @property
    def name(self) -> str:
        """The name of its task type."""
        return self.task_type if isinstance(self.task_type, str) else self.task_type.name

    @property
    def delay_seconds(self) -> float | None:
        return None if self.delay is None else time_until(self.delay, "delay").total_seconds()


def _check_text(name: str, value: Any, most: int | None = None) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} holds a value of type {name_of(type(value))}, which is no text")
    if said(value) != value or (most is not None and not 0 < len(value) <= most):
        bound = "" if most is None else f" of 1 to {most} characters"
        given = said(repr(value), most=200)
        raise ValueError(f"{name} holds {given}: give text{bound}, without NUL and lone surrogates")
