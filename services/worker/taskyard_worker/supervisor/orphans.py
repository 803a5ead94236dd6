"""Orphans: programs and copies that tasks left behind, and whose own parent has ended.

The kernel makes the supervisor their parent. They end with the child process that started them: `killpg` finds those in
the child's process group, this module those that left it (`setsid`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from ..programs import child_of, name_of, started_by
from ..slots import Phase
from .handle import Handle

log = structlog.stdlib.get_logger(__name__)

# A pipeline whose shell has ended is not left behind yet.
_LEFT_SECONDS = 1.0


@dataclass(slots=True)
class Orphan:
    """`owners`: the ids of the children one of which has started it."""

    owners: frozenset[str]
    since: float
    is_told: bool = False
    is_killed: bool = False


class Orphans:
    """Belongs to the main thread of a process that adopts orphans (`programs.adopt_orphans`). `count` is called with
    the kind of each one that a living child has left. `others`: pids of processes that are no orphans."""

    def __init__(self, count: Callable[[str], None], others: Callable[[], Collection[int]]) -> None:
        self._count = count
        self._others = others
        self._known: dict[int, Orphan] = {}

    def turn(self, children: Iterable[Handle]) -> None:
        """Ends the orphans of children that have ended, and tells of the others."""
        living = {child.fetcher_id: child for child in children}
        own = {*(child.pid for child in living.values()), *self._others()}
        found = {pid: self._orphan(pid, living.keys()) for pid in started_by(os.getpid()) if pid not in own}
        self._known = {pid: orphan for pid, orphan in found.items() if not _has_ended(pid)}
        for pid, orphan in self._known.items():
            owners = [living[i] for i in orphan.owners if i in living]
            if not owners:
                if not orphan.is_killed:
                    orphan.is_killed = True
                    log.info("program_ended", pid=pid, command=name_of(pid))
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            elif not orphan.is_told and time.monotonic() - orphan.since > _LEFT_SECONDS:
                orphan.is_told = True
                self._tell(pid, owners)

    def end(self, seconds: float) -> None:
        """Ends all that are left, once there are no children any more. What these have started comes here, too."""
        deadline = time.monotonic() + seconds
        self.turn(())
        while self._known and time.monotonic() < deadline:
            time.sleep(0.01)
            self.turn(())

    def _orphan(self, pid: int, living: Collection[str]) -> Orphan:
        if (known := self._known.get(pid)) is not None:
            return known
        child = child_of(pid, living)
        # A program without the environment of its child may be any child's.
        return Orphan(frozenset(living if child is None else [child]), time.monotonic())

    def _tell(self, pid: int, owners: list[Handle]) -> None:
        begun = [f"{e.name}:{e.task_id}" for c in owners for e in c.table.entries() if e.phase is Phase.BEGUN]
        indexes = [child.index for child in owners]
        log.warning("program_left", pid=pid, command=name_of(pid), children=indexes, running=begun)
        self._count("daemon")


def _has_ended(pid: int) -> bool:
    """Takes its exit code, which nothing else does."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
