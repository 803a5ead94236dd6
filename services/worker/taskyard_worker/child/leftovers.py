"""Leftovers: programs and copies that a task started and that still run when it has ended.

They are told, not ended: a later task may use them, as with a pool of processes. They end with the child's process.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from ..programs import COPY, name_of, started_by

log = structlog.stdlib.get_logger(__name__)

# Only children of the calling thread (linux/wait.h).
_OF_THIS_THREAD = 0x20000000
# PyDLL keeps the interpreter for the call.
_waitid = ctypes.PyDLL(None).waitid if sys.platform == "linux" else None
_LOOK_ONLY = os.WEXITED | os.WNOHANG | os.WNOWAIT | _OF_THIS_THREAD


@dataclass(frozen=True, slots=True)
class Left:
    pid: int
    name: str

    @property
    def kind(self) -> str:
        return "copy" if self.name.startswith(COPY) else "program"

    def __str__(self) -> str:
        what = "a copy of its process" if self.kind == "copy" else f"the program {self.name}"
        return f"{what} (process {self.pid})"


class Leftovers:
    """`count` is called with the kind of each one that is found."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._told: set[int] = set()

    def of_this_thread(self) -> list[Left]:
        """What a task has left that ran in this thread and has just ended; each once."""
        return self._fresh(started_by(threading.get_native_id())) if _has_started() else []

    def of_all_threads(self) -> list[Left]:
        """What is left while no task runs: of coroutines, and of threads that have ended."""
        found = [pid for thread in _threads() for pid in started_by(thread)]
        self._told.intersection_update(found)  # the kernel may use the others' numbers again
        return self._fresh(found)

    def _fresh(self, pids: list[int]) -> list[Left]:
        fresh = [Left(pid, name) for pid in pids if pid not in self._told and (name := name_of(pid)) is not None]
        self._told.update(left.pid for left in fresh)
        for left in fresh:
            self._count(left.kind)
        return fresh


def _has_started() -> bool:
    """Whether this thread has started anything that the kernel still knows; nearly always it has not. Not `os.waitid`,
    which lets another thread take the interpreter: after each quick task, that costs more than the task."""
    return _waitid is not None and _waitid(os.P_ALL, 0, None, _LOOK_ONLY) == 0


def _threads() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    except OSError:
        return []
