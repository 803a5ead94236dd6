"""Draws one panel, in a process of its own that `draws.py` starts: `drawing FD PARENT`.

The process has PYTHONHASHSEED=0: maximin and nash walk over sets of texts, so that the same seed draws the same panel
only where the order of sets is the same (docs/decisions/0025). The kernel holds it to its memory (RLIMIT_DATA), and
ends it where its parent, the process PARENT, ends.

The request is a JSON object on standard input; the answers go to the descriptor FD (`channel.py`). What the solvers
print goes to standard output, which nobody reads.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from .channel import Channel, LogHandler

_PR_SET_PDEATHSIG = 1


def main(fd: int, parent: int) -> None:
    _end_with(parent)
    request = json.load(sys.stdin)
    # Where the memory of all runs out: this process first, and not the worker with its other tasks.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = request["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    with open(fd, "w", encoding="utf-8") as file:
        channel = Channel(file)
        try:
            answer = _answer(request, channel)
        except MemoryError:
            answer = {"failed": {"code": "draw_needs_memory", "values": {}, "lines": [], "traceback": ""}}
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))  # for its last words
        channel.say(**answer)


def _answer(request: dict[str, Any], channel: Channel) -> dict[str, Any]:
    # Under the limits, and after the parent's signal is asked for: these imports take half a second and 100 MiB.
    from sortition_algorithms.utils import override_logging_handlers

    from .declarations import SelectionParams
    from .failures import Failure
    from .panel import drawn
    from .tables import Table

    override_logging_handlers([LogHandler(channel)], [logging.NullHandler()])
    params = SelectionParams.model_validate(request["params"])
    try:
        return {
            "drawn": drawn(Table(**request["people"]), Table(**request["quotas"]), params, request["seed"], channel)
        }
    except Failure as failure:
        told = {"code": failure.code, "values": dict(failure.values), "lines": failure.lines}
        return {"failed": {**told, "traceback": "".join(traceback.format_exception(failure))[-8_000:]}}


def _end_with(parent: int) -> None:
    with suppress(OSError, AttributeError):  # elsewhere than on Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the task that asked for a panel has ended")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
