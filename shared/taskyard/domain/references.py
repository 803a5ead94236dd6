"""References: `{"$result": "step.path.to[0]"}` in a step's parameters stands for a part of an earlier step's result."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

MARK = "$result"
# What all references of one step bring together, as JSON.
MAX_BYTES = 256 * 1024
MAX_TEXT = 1000
STEP_NAME = r"[A-Za-z0-9_-]{1,64}"
# Linear: each part begins with a character that no part holds.
_TEXT = re.compile(rf"({STEP_NAME})((?:\.[^.\[\]]{{1,200}}|\[[0-9]{{1,9}}\])*)")
_PART = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")

# In an array PostgreSQL would count it from the end.
_NEGATIVE = re.compile(r"\s*-[0-9]+")

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """`step` is a step's name, `path` leads into its result: names of members and places in arrays, as texts."""

    step: str
    path: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """None where the text is no reference."""
        found = _TEXT.fullmatch(text) if len(text) <= MAX_TEXT else None
        if found is None:
            return None
        path = tuple(name or place for name, place in _PART.findall(found[2]))
        return None if any(_NEGATIVE.fullmatch(part) for part in path) else cls(found[1], path)


@dataclass(slots=True)
class TakenResult:
    """A reference whose step is known: what is put `at` a place of the parameters is at `path` in the result of the
    task `need`."""

    at: Place
    need: UUID
    path: Sequence[str]


def has_mark(value: Any) -> bool:
    return isinstance(value, dict) and MARK in value


def marked(value: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every object in a JSON value that has the name `$result`, with its place; nothing inside of one."""
    if isinstance(value, dict):
        if MARK in value:
            yield place, value
            return
        for name, inner in value.items():
            yield from marked(inner, (*place, name))
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            yield from marked(inner, (*place, n))


def replaced(value: Any, place: Place, put: Any) -> Any:
    """The value with `put` at the place; what is on the way is copied."""
    if not place:
        return put
    made: Any = dict(value) if isinstance(value, dict) else list(value)
    made[place[0]] = replaced(made[place[0]], place[1:], put)
    return made
