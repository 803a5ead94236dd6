"""A control group that limits memory, as a container's does, in version 1 or 2, where this process may make one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# The hierarchy, and its file that takes the limit.
_VERSIONS: tuple[tuple[Path, str], ...] = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """`directory` is None where none can be made."""

    directory: Path | None

    def limit(self, megabytes: int) -> None:
        for _, file in _VERSIONS:
            if self.directory is not None and (limit := self.directory / file).exists():
                limit.write_text(str(megabytes << 20))

    def add(self, pid: int) -> None:
        """What the process takes from now on counts, and what its children take."""
        if self.directory is not None:
            (self.directory / "cgroup.procs").write_text(str(pid))


@contextmanager
def memory_group(name: str, megabytes: int) -> Iterator[MemoryGroup]:
    """One that lasts for the block, at whose end its processes have to be gone."""
    group = MemoryGroup(_make(name))
    try:
        group.limit(megabytes)
        yield group
    finally:
        if group.directory is not None:
            with suppress(OSError):
                group.directory.rmdir()


def _make(name: str) -> Path | None:
    for hierarchy, file in _VERSIONS:
        directory = hierarchy / name
        with suppress(OSError):  # no such version, or no right to make one
            directory.mkdir()
            if (directory / file).exists():
                return directory
            directory.rmdir()  # its controller is not passed on
    return None
