"""Named places where a process can be made to die, for tests which prove that dying there loses nothing.

`TASKYARD_FAILPOINTS=claim.after` kills the first process that gets there, as `kill -9` would; `claim.after:3` kills at
the third visit. Each place kills once: a file of its name in the directory marks it as done, so that the next process,
which has the same environment, goes on. Refused unless TASKYARD_DIAGNOSTICS is set. Where nothing is armed, a failpoint
costs one look at a variable.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

# A process can be made to die just before and just after each.
_STEPS = (
    "submit",  # api
    # a worker's child, in the order in which a task passes them
    "claim",
    "acknowledge",
    "effect",
    "mark",
    "archive",
    "chunk",
    "finish",
    # a worker's supervisor
    "lose",
    "take_up",
    # scheduler
    "promote",
    "fire",
    "rescue",
    "relay",
    "relay_applications",
    # every process with a dispatcher: api, child, supervisor, scheduler
    "publish",
    "outbox",
)
PLACES = frozenset(f"{step}.{side}" for step in _STEPS for side in ("before", "after")) | {
    "chunk.written",
    "relay.published",
    "relay_applications.published",
}


class _Armed:
    def __init__(self, counts: Mapping[str, int], directory: Path) -> None:
        self._left = dict(counts)
        self._directory = directory
        self._lock = threading.Lock()

    def reach(self, place: str) -> None:
        with self._lock:
            if place not in self._left:
                return
            self._left[place] -= 1
            if self._left[place] > 0:
                return
            del self._left[place]
            try:
                (self._directory / place).touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def failpoint(place: str) -> None:
    """Kills this process here where that was asked for."""
    if _armed is not None:
        _armed.reach(place)


def parse(wanted: Iterable[str]) -> dict[str, int]:
    """By place, the visit that kills: 1 for `place`, n for `place:n`. Raises ValueError."""
    counts = {}
    for one in wanted:
        place, _, nth = one.partition(":")
        if place not in PLACES:
            raise ValueError(f"there is no failpoint {place!r}")
        if nth and not (nth.isascii() and nth.isdigit() and int(nth) > 0):
            raise ValueError(f"{one!r}: the visit is a number, 1 or more")
        counts[place] = int(nth or 1)
    return counts


def arm(wanted: Iterable[str], directory: Path) -> None:
    """Arms these in this process. All processes share `directory`. Raises ValueError and OSError."""
    counts = parse(wanted)
    if counts:
        directory.mkdir(parents=True, exist_ok=True)
        global _armed  # noqa: PLW0603 - a module variable makes unarmed failpoints almost free
        _armed = _Armed(counts, directory)
