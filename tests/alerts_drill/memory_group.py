"""A control group that limits memory, as a container's does, in version 1 or 2, where this process may make one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# The hierarchy, and its file that takes the limit.
_VERSIONS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """`directory` is None where none can be made."""

    directory: Path | None

    def add(self, pid: int) -> None:
        """What the process takes from now on counts, and what its children take."""
        if self.directory is not None:
            (self.directory / "cgroup.procs").write_text(str(pid))


@contextmanager
def memory_group(name: str, megabytes: int) -> Iterator[MemoryGroup]:
    """One that lasts for the block, at whose end its processes have to be gone."""
    directory = _make(name, megabytes << 20)
    try:
        yield MemoryGroup(directory)
    finally:
        if directory is not None:
            with suppress(OSError):
                directory.rmdir()


def _make(name: str, limit: int) -> Path | None:
    for hierarchy, file in _VERSIONS:
        directory = hierarchy / name
        try:
            directory.mkdir()
            (directory / file).write_text(str(limit))
        except OSError:  # no such version, or no right to make one, or its controller is not passed on
            with suppress(OSError):
                directory.rmdir()
        else:
            return directory
    return None
