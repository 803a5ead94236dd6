"""Taskyard's common package. What a package with tasks needs is here:

    from taskyard import task, TaskContext, Params, Result, Secret, Person, Retry, TaskError, Kit, Hook
    from taskyard import StandingSchedule
    from taskyard import RateLimited, AuthenticationFailed, InputUnusable  # failures of a kind: domain/retry.py

Each name is imported when it is used first, so that importing `taskyard` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue.declare import task
    from .catalogue.kit import Kit, StandingSchedule
    from .catalogue.persons import Person
    from .catalogue.secrets import Secret
    from .catalogue.types import Params, Result
    from .domain.errors import AuthenticationFailed, InputUnusable, RateLimited, Retry, TaskError
    from .running.context import TaskContext
    from .running.hooks import Hook

_HOMES = {
    "AuthenticationFailed": "domain.errors",
    "Hook": "running.hooks",
    "InputUnusable": "domain.errors",
    "Kit": "catalogue.kit",
    "Params": "catalogue.types",
    "Person": "catalogue.persons",
    "RateLimited": "domain.errors",
    "Result": "catalogue.types",
    "Retry": "domain.errors",
    "Secret": "catalogue.secrets",
    "StandingSchedule": "catalogue.kit",
    "TaskContext": "running.context",
    "TaskError": "domain.errors",
    "task": "catalogue.declare",
}

__all__ = [
    "AuthenticationFailed",
    "Hook",
    "InputUnusable",
    "Kit",
    "Params",
    "Person",
    "RateLimited",
    "Result",
    "Retry",
    "Secret",
    "StandingSchedule",
    "TaskContext",
    "TaskError",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
