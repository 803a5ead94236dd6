"""Programs and copies: what tasks start beside the worker's own processes, as the kernel shows it (Linux).

A copy is what `os.fork()` makes, until it starts a program. Elsewhere than on Linux nothing is found.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

# In the environment of a child and of all that its tasks start: which child it was.
CHILD_VARIABLE = "TASKYARD_CHILD"
# The names of processes, at most 15 characters. The kernel gives a program that is started a name of its own.
TEMPLATE, CHILD = "taskyard-templ", "taskyard-child"
# The name of a copy begins so; the beginning of its CHILD_VARIABLE follows. (The kernel shows the environment that a
# program was started with, which is not the child's own where the child was forked.)
COPY = "ty-copy-"
_COPY_LENGTH = 15

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def mark_this() -> None:
    """From now on copies of this process tell whose they are whatever they are called: they have a mapping with the
    name of its CHILD_VARIABLE. A program that is started loses it, and has the variable itself."""
    global _mark  # noqa: PLW0603 - it lasts as long as the process
    if sys.platform == "linux":
        fd = os.memfd_create(f"{CHILD_VARIABLE}={os.environ.get(CHILD_VARIABLE, '')}")
        os.truncate(fd, 1)
        _mark = mmap.mmap(fd, 1)
        os.close(fd)


_mark: mmap.mmap | None = None
_MARK = re.compile(rf"/memfd:{CHILD_VARIABLE}=(\S+)".encode())


def name_this_copy() -> None:
    name_this(f"{COPY}{os.environ.get(CHILD_VARIABLE, '')}"[:_COPY_LENGTH])


def name_this(name: str) -> None:
    """The name of this process, as `ps` shows it."""
    if _prctl is not None:
        _prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def adopt_orphans() -> None:
    """From now on, what is left of the programs of a process that ended belongs to this process, not to init."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def started_by(thread: int) -> list[int]:
    """The processes whose parent is this thread of ours, ended ones included; by the thread's native id."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{thread}/children").read_bytes().split()]
    except OSError:
        return []


def family() -> list[int]:
    """This process and all that it and they have started, as far as the kernel tells; this process alone elsewhere."""
    found = [os.getpid()]
    for pid in found:  # which grows meanwhile
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, file.read_bytes().split())
    return found


def name_of(pid: int) -> str | None:
    """The name of its program, without its arguments, which may be secret; None where it has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = state.partition("(")[2].rpartition(")")
    return None if rest.split()[0] in {"Z", "X"} else name


def child_of(pid: int, children: Collection[str]) -> str | None:
    """The CHILD_VARIABLE of a process, or its beginning where it is none of these; None where it has none, or cannot be
    read."""
    if (name := name_of(pid)) is not None and name.startswith(COPY):
        child = name.removeprefix(COPY)
        return next((other for other in children if other.startswith(child)), child)
    try:
        if (mark := _MARK.search(Path(f"/proc/{pid}/maps").read_bytes())) is not None:
            return mark[1].decode()
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{CHILD_VARIABLE}=".encode()
    return next((word.removeprefix(prefix).decode() for word in environment if word.startswith(prefix)), None)
