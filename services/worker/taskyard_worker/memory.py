"""Memory, as the kernel accounts for it: how much a process has, and whether the kernel killed one for want of it.

Both the supervisor and its children ask.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

# Names in version 2 of control groups, then in version 1.
_KILLS = "memory.events", "memory.oom_control"
_LIMIT = "memory.max", "memory.limit_in_bytes"
_UNLIMITED = 1 << 60  # version 1 writes the largest multiple of a page
_ROOT, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_RECENT_SECONDS = 2.0
# From -1,000 to 1,000. A process may always raise its own.
_CHILD_SCORE = "500"


def resident_bytes(pid: int) -> int:
    """The resident memory of a process; 0 where it cannot be read."""
    return _resident_and_shared(pid)[0]


def used_together(pids: Iterable[int]) -> int:
    """The resident memory of these processes, in bytes. What they have in common counts once: libraries as much as the
    process with most of them has; and what children share with the template that they were forked from."""
    found = [(_own(pid), _resident_and_shared(pid)) for pid in pids]
    own = sum(resident - shared if own is None else own for own, (resident, shared) in found)
    return own + max((shared for _, (_, shared) in found), default=0)


def group_limit(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> int | None:
    """What the container may have, in bytes; None where it has no limit."""
    found = [int(text) for file in _candidates(root, membership, *_LIMIT) if (text := _text(file).strip()).isdecimal()]
    return min((limit for limit in found if limit < _UNLIMITED), default=None)


def allowance(max_memory_mb: int, processes: int, root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> int | None:
    """What one of a worker's child processes may have, in bytes: its limit, and its part of the container's. None where
    there is neither."""
    group = group_limit(root, membership)
    limits = [] if group is None else [group // processes]
    if max_memory_mb:
        limits.append(max_memory_mb * 1024**2)
    return min(limits, default=None)


def prefer_this_process(file: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Has the kernel end this child rather than its supervisor where memory runs out: the supervisor would take all
    its children along, and could not record what happened."""
    with suppress(OSError):
        file.write_text(_CHILD_SCORE)


class OomKills:
    """The kernel's count of out-of-memory kills in this control group, watched for growth; `on_kills` is told of it."""

    def __init__(
        self,
        root: Path = _ROOT,
        membership: Path = _MEMBERSHIP,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_kills: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._on_kills = on_kills
        self._files = [f for f in _candidates(root, membership, *_KILLS) if _count(f) is not None]
        self._total = self._count()
        self._before = self._seen = self._total
        self._look_at = 0.0

    def look(self) -> None:
        """Moves the window on, so that an old kill is not taken for the cause of a death now."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _RECENT_SECONDS
            self._before, self._seen = self._seen, self._read()

    def happened_lately(self) -> bool:
        """Whether the kernel killed something in this group within the last seconds; it tells of each kill once. False
        wherever the kernel keeps no such count."""
        before, self._before = self._before, self._read()
        self._seen = self._before
        return self._seen > before

    def _read(self) -> int:
        before, self._total = self._total, self._count()
        if self._total > before:
            self._on_kills(self._total - before)
        return self._total

    def _count(self) -> int:
        return max((_count(f) or 0 for f in self._files), default=0)


def _resident_and_shared(pid: int) -> tuple[int, int]:
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - read every second
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return resident * page, shared * page


def _own(pid: int) -> int | None:
    """The memory of a process without that of files, of a page that n processes share the nth part (Pss_Anon); None
    where the kernel does not tell."""
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return None


def _candidates(root: Path, membership: Path, v2: str, v1: str) -> list[Path]:
    """Of a process in a container, whose own group is the root of what it sees, and of one outside."""
    found = [root / v2, root / "memory" / v1]
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found.insert(0, root / path.lstrip("/") / v2)
        elif "memory" in controllers.split(","):
            found.insert(0, root / "memory" / path.lstrip("/") / v1)
    return found


def _count(file: Path) -> int | None:
    """The line `oom_kill N`."""
    for line in _text(file).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return None


def _text(file: Path) -> str:
    """Nothing where it cannot be read."""
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
