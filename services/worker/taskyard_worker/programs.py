"""Programs and copies: what tasks start beside the worker's own processes, as the kernel shows it (Linux).

A copy is what `os.fork()` makes, until it starts a program. Elsewhere than on Linux nothing is found.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

# In the environment of a child and of all that its tasks start: which child it was.
CHILD_VARIABLE = "TASKYARD_CHILD"
# The name of a copy. The kernel gives a program that is started a name of its own.
COPY = "taskyard-copy"

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def name_this_copy() -> None:
    if _prctl is not None:
        _prctl(_PR_SET_NAME, COPY.encode(), 0, 0, 0)


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


def child_of(pid: int) -> str | None:
    """The CHILD_VARIABLE of a process; None where it has none, or cannot be read."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{CHILD_VARIABLE}=".encode()
    return next((word.removeprefix(prefix).decode() for word in environment if word.startswith(prefix)), None)
