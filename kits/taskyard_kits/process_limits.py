"""What a process that reads strangers' files does first: the kernel holds it to its memory and its time."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def begin() -> None:
    """What each of these processes does first: it neither outlives its task nor takes the worker's memory."""
    end_with_parent()
    yield_memory()


def yield_memory() -> None:
    """Where the memory of all runs out: this process first, and not the worker with its other tasks."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def end_with_parent() -> None:
    """The kernel ends this process when the thread that started it is gone. Nothing elsewhere than on Linux."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def limit(more: int, seconds: int) -> None:
    """Private memory: what there is now, and `more` bytes; `seconds` of the processor in all. Elsewhere than on Linux
    no kernel holds it to the memory."""
    with suppress(FileNotFoundError):
        now = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        lower(resource.RLIMIT_DATA, now + more)
    lower(resource.RLIMIT_CPU, seconds)


def limit_memory(total: int) -> None:
    """Private memory, with what there is now."""
    lower(resource.RLIMIT_DATA, total)


def lower(what: int, wanted: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def lift_memory() -> None:
    """For last words, where there may be no memory for them."""
    resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)


def say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def unreadable(error: OSError) -> dict[str, Any]:
    assert error.errno is not None
    return {"error": "unreadable", "errno": error.errno, "reason": os.strerror(error.errno)}
