"""Which function runs which task type."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel

from ..catalogue.types import Catalogue, TaskType
from .context import TaskContext

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

Function = Callable[[Any, TaskContext], Any]
_MARK = "__taskyard_type__"

BUILTIN_MODULES = (
    "taskyard_worker.tasks.diagnostics",
    "taskyard_worker.tasks.email",
    "taskyard_worker.tasks.files",
    "taskyard_worker.tasks.health",
)


class Unimplemented(Exception):
    """A declared type has no function, or more than one."""


def implements(
    task_type: TaskType[P, R],
) -> Callable[[Callable[[P, TaskContext], R | Awaitable[R]]], Callable[[P, TaskContext], R | Awaitable[R]]]:
    """Marks the function (sync or async) that runs a task type."""

    def mark(
        function: Callable[[P, TaskContext], R | Awaitable[R]],
    ) -> Callable[[P, TaskContext], R | Awaitable[R]]:
        setattr(function, _MARK, task_type)
        return function

    return mark


def collect(catalogue: Catalogue, modules: Iterable[str] = ()) -> dict[str, Function]:
    """The function of every type in the catalogue, by the type's name.

    Raises Unimplemented where a type has none or two.
    """
    found: dict[str, Function] = {}
    for name in (*BUILTIN_MODULES, *modules):
        for value in vars(importlib.import_module(name)).values():
            task_type = getattr(value, _MARK, None)
            if not inspect.isfunction(value) or task_type is None or task_type.name not in catalogue:
                continue
            other = found.setdefault(task_type.name, value)
            if other is not value:
                raise Unimplemented(f"{task_type.name} is implemented twice: {other.__module__} and {value.__module__}")
    missing = sorted(set(catalogue.names) - found.keys())
    if missing:
        raise Unimplemented(f"no function implements {', '.join(missing)}")
    return found
