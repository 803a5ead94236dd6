"""Whether the kernel killed for want of memory: it counts that for each control group."""

from __future__ import annotations

from pathlib import Path

# Of a process in a container, whose own group is the root of what it sees, and of one outside (v2, then v1).
_V2 = "memory.events"
_V1 = "memory.oom_control"


class OomKills:
    """Compares the kernel's count with the one of before. False wherever the kernel doesn't tell."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> None:
        self._files = [f for f in _candidates(root, membership) if _count(f) is not None]
        self._seen = self._read()

    def happened(self) -> bool:
        """Whether something in our group was killed so since the last time this was asked."""
        before, self._seen = self._seen, self._read()
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
