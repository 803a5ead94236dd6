"""Wear: what a child uses up of memory, file descriptors and threads, against its limits.

A child above a limit is worn: another one replaces it, and it works on until that one is ready. A child that is close
to what the system gives it is exhausted: it begins nothing more, because that would fail.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..memory import resident_bytes

# Descriptors that tasks cannot use. The platform gets them back to record what has run.
RESERVE = 32
_FEW = 8 * RESERVE
# More than any tasks of one process use: some have limits of a million.
_MANY = 10_000
_QUICK_SECONDS = 0.005


RESOURCES = frozenset({"max_memory", "max_descriptors", "max_threads"})


@dataclass(frozen=True, slots=True)
class Worn:
    """`why` is one of `supervisor.metrics.RETIREMENTS`; `used` and `limit` are those of a resource or of a count."""

    why: str
    used: int | None = None
    limit: int | None = None


class Wear:
    """Limits of 0 do not hold. `most`: the descriptors that the process may have. `descriptors`: its limit; by default
    half of these, and 10,000 at most.

    `exhausted`: why nothing may begin here any more; it stays.
    """

    def __init__(self, *, memory_mb: int, descriptors: int | None, threads: int, most: int) -> None:
        self._most = most
        self._limits = {
            "max_memory": memory_mb * 1024**2,
            "max_descriptors": min(most // 2, _MANY) if descriptors is None else min(descriptors, most),
            "max_threads": threads,
        }
        self._look_at = 0.0
        self.exhausted: Worn | None = None

    def look(self) -> Worn | None:
        """The limit that is exceeded, if one is."""
        used = {
            "max_memory": resident_bytes(os.getpid()),
            "max_descriptors": descriptors_in_use(),
            "max_threads": _threads_in_use(),
        }
        for why, limit in self._limits.items():
            if limit and used[why] > limit:
                return Worn(why, used[why], limit)
        return None

    def look_after_task(self, ran_seconds: float) -> None:
        """Whether the next task could still open what it needs. Quick tasks, of which there are thousands a second,
        share a look: it lets another thread take the interpreter, and to leak takes its time as well."""
        now = time.monotonic()
        if self.exhausted is not None or (ran_seconds < _QUICK_SECONDS and now < self._look_at):
            return
        self._look_at = now + 2 * _QUICK_SECONDS
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # a task may have lowered it
        most = self._most if soft == resource.RLIM_INFINITY else min(self._most, soft)
        if (used := descriptors_in_use()) > most * 7 // 8:
            self.exhausted = Worn("max_descriptors", used, most)

    def give_reserve(self) -> None:
        """Once nothing begins any more."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, self._most) + RESERVE, hard), hard))


def keep_reserve() -> int:
    """Lowers the limit of this process; returns how many descriptors it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**30
    if soft < _FEW:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - RESERVE, hard))
    return soft - RESERVE


def descriptors_in_use(stat: Callable[[str], os.stat_result] = os.stat) -> int:
    """0 where the system does not say."""
    with suppress(OSError):
        # Linux 6.2 and later count them so: at no cost, and without a descriptor, of which there may be none.
        if found := stat("/proc/self/fd").st_size:
            return found
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as above
    except FileNotFoundError:
        return 0
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # none is left to look with


def _threads_in_use() -> int:
    """Those of C code included; 0 where the system does not say."""
    try:
        return os.stat("/proc/self/task").st_nlink - 2  # noqa: PTH116
    except OSError:
        return 0
