"""Effort: what looking at one request may cost beyond its length. The parts of the catalogue spend it.

It stands in a context variable, for jsonschema-rs calls formats without any argument of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from ..domain.messages import Message

T = TypeVar("T")


class NotNow(Exception):
    """The request needs more effort than is granted so far. Nothing was changed."""


@dataclass(slots=True)
class Effort:
    """`checks`: how often validating may take as long as the schema's `most` allows for one task. `patterns`: what
    compiling them may cost, in the units of `patterns.check_pattern`; below 0 once it was not enough. `added`:
    bytes that defaults may add, with 16 for each of their values; where it is not the most that a request may add
    (`is_most`), NotNow is raised for more. Where it does not `explain`, NotNow is raised instead of looking for
    what is wrong."""

    checks: float
    patterns: int
    added: int
    is_most: bool = True
    explain: bool = True
    verdicts: dict[str, Message | None] = field(default_factory=dict)
    """What was found out about each pattern."""


_current: ContextVar[Effort | None] = ContextVar("effort", default=None)
current = _current.get


def take_check(share: float) -> bool:
    """Whether there is effort left for validating, which takes this share of what one task may take."""
    spent = current()
    if spent is None:
        return True
    spent.checks -= share
    return spent.checks >= 0


def patterns_are_spent() -> bool:
    """Whether a pattern was refused unseen."""
    spent = current()
    return spent is not None and spent.patterns < 0


def before_explaining() -> None:
    """Raises NotNow where the effort does not reach for looking for what is wrong."""
    spent = current()
    if spent is not None and not spent.explain:
        raise NotNow


def spend(effort: Effort, call: Callable[[], T]) -> T:
    """The result of `call`, which spends this effort; outside of any, there is no bound for a whole request."""
    token = _current.set(effort)
    try:
        return call()
    finally:
        _current.reset(token)
