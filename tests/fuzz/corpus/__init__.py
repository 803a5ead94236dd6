"""What is sent, one kind a module. An input that broke a promise becomes an entry with a name and that promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ANY: frozenset[str] = frozenset()
"""Every end but that of a process and that for which nobody has words."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes on a connection."""

    name: str
    promise: str
    segments: tuple[bytes, ...]
    answers: tuple[int, ...]
    """The statuses, in order."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request with a body of JSON, or of what is none."""

    name: str
    promise: str
    body: bytes
    status: int
    ends: frozenset[str] = ANY
    """Of an accepted task: the code of its error, or its state where it has none."""
    ends_process: bool = False
    path: str = "/api/v1/tasks"


@dataclass(frozen=True, slots=True)
class Image:
    """A file of which a thumbnail is asked for. `ends` as in Body."""

    name: str
    promise: str
    make: Callable[[], bytes]
    ends: frozenset[str] = ANY


def one_of(*ends: str) -> frozenset[str]:
    return frozenset(ends)
