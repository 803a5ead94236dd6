"""Draws one panel, in a process of its own that `draws.py` starts: `drawing FD PARENT BYTES`.

The process has PYTHONHASHSEED=0: maximin and nash walk over sets of texts, so that the same seed draws the same panel
only where the order of sets is the same (docs/decisions/0025). The kernel holds it to BYTES of memory (RLIMIT_DATA),
and ends it where its parent, the process PARENT, ends.

The request is a JSON object on standard input; the answers go to the descriptor FD (`channel.py`). What the solvers
print goes to standard output, which nobody reads.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import Any

from taskyard_kits import process_limits as limits

from .channel import Channel, LogHandler


def main(fd: int, parent: int, memory_bytes: int) -> None:
    _end_with(parent)
    limits.yield_memory()
    limits.limit_memory(memory_bytes)
    with open(fd, "w", encoding="utf-8") as file:
        channel = Channel(file)
        try:
            answer = _answer(channel)
        except Exception as e:  # noqa: BLE001 - an import fails in many ways where memory is short
            limits.lift_memory()
            answer = _unexpected(e)
        channel.end_log()
        channel.say(**answer)


def _answer(channel: Channel) -> dict[str, Any]:
    # Under the limits, and after the parent's signal is asked for: these imports take half a second and 100 MiB.
    from sortition_algorithms.utils import override_logging_handlers

    from .declarations import SelectionParams
    from .failures import Failure
    from .panel import drawn, use_one_thread
    from .tables import Table

    override_logging_handlers([LogHandler(channel)], [logging.NullHandler()])
    use_one_thread()
    request = json.load(sys.stdin)
    params = SelectionParams.model_validate(request["params"])
    try:
        return {
            "drawn": drawn(Table(**request["people"]), Table(**request["quotas"]), params, request["seed"], channel)
        }
    except Failure as failure:
        return _failed(failure, failure.code, dict(failure.values), failure.lines)


def _unexpected(error: Exception) -> dict[str, Any]:
    if isinstance(error, MemoryError):
        return _failed(error, "draw_needs_memory")
    return _failed(error, "draw_failed", {"reason": f"{type(error).__name__}: {error}"[:1_000]})


def _failed(
    error: Exception, code: str, values: dict[str, Any] | None = None, lines: tuple[str, ...] = ()
) -> dict[str, Any]:
    told = "".join(traceback.format_exception(error))[-8_000:]
    return {"failed": {"code": code, "values": values or {}, "lines": lines, "traceback": told}}


def _end_with(parent: int) -> None:
    limits.end_with_parent()
    if os.getppid() != parent:
        raise SystemExit("the task that asked for a panel has ended")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
