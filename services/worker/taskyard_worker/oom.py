"""Whether the kernel killed for want of memory: it counts that for each control group."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Of a process in a container, whose own group is the root of what it sees, and of one outside (v2, then v1).
_V2 = "memory.events"
_V1 = "memory.oom_control"
_LATELY_SECONDS = 2.0


# Of -1,000 to 1,000; raising one's own is everybody's right.
_RATHER_ME = "500"


def offer(file: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Where memory runs out, the kernel should rather end this process, a child, than the supervisor: that one would
    take all its children along, and could not tell what happened."""
    with suppress(OSError):
        file.write_text(_RATHER_ME)


class OomKills:
    """Compares the kernel's count with the one of before. False wherever the kernel doesn't tell."""

    def __init__(
        self,
        root: Path = Path("/sys/fs/cgroup"),
        membership: Path = Path("/proc/self/cgroup"),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._files = [f for f in _candidates(root, membership) if _count(f) is not None]
        self._before = self._seen = self._read()
        self._look_at = 0.0

    def look(self) -> None:
        """Now and then: what was killed long ago is not why something dies now."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _LATELY_SECONDS
            self._before, self._seen = self._seen, self._read()

    def happened_lately(self) -> bool:
        """Whether something in our group was killed so in the last seconds; each kill is told once."""
        before, self._before = self._before, self._read()
        self._seen = self._before
        return self._seen > before

    def _read(self) -> int:
        return max((_count(f) or 0 for f in self._files), default=0)


def _candidates(root: Path, membership: Path) -> list[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found = [root / _V2, root / "memory" / _V1]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found.insert(0, root / path.lstrip("/") / _V2)
        elif "memory" in controllers.split(","):
            found.insert(0, root / "memory" / path.lstrip("/") / _V1)
    return found


def _count(file: Path) -> int | None:
    """The line `oom_kill N`."""
    try:
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except (OSError, ValueError):
        pass
    return None
