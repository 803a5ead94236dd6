"""Copies of a child: what `os.fork()` in a task makes, until it starts a program or ends.

A copy has the task's thread and no other, and shares its memory for claims, its sockets and its event loop with the
process that it was copied from. It may do what the task wants of it (`multiprocessing` works so), but it must not go on
in the worker: where the task's code ends in it, the copy ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

from taskyard import signals

from ..programs import name_this_copy

_is_copy = False
# What a copy gives up; empty until `detach_copies`.
_steps: list[Callable[[], object]] = []


class _Masks(threading.local):
    def __init__(self) -> None:
        self.before: list[set[int]] = []


_masks = _Masks()


def leave_copy() -> None:
    """Ends a copy, as the code of a task ends in it: with the code of its `sys.exit()`, or with 1. Nothing is flushed
    and no exit handler runs: all of that belongs to the process that was copied."""
    if _is_copy:
        error = sys.exc_info()[1]
        code = error.code if isinstance(error, SystemExit) else 1
        os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


def refuse_in_copy() -> None:
    """Before a connection is used: two processes on one connection read each other's answers. Raises RuntimeError."""
    if _is_copy:
        raise RuntimeError(
            "a copy of the process (os.fork, multiprocessing) cannot use the connections of its task's context:"
            " open one of its own, or pass the result back"
        )


def detach_copies(*steps: Callable[[], object]) -> None:
    """From now on each copy gives up, first of all, what it shares with this process. Signals wait until it has: the
    handlers of this process would take one that is meant to end the copy (`Process.terminate()` right after
    `start()`).

    For the first time before task modules are imported: what they register for forks comes after it then.
    """
    if not _steps:
        os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals_in, after_in_child=_detach)
    _steps.extend(steps)


def fork() -> int:
    """`os.fork()` for a process that is no copy: it is to give up nothing but what it wants to."""
    global _is_ours  # noqa: PLW0603 - what `_detach` has to know is not passed to it
    _is_ours = True
    try:
        return os.fork()
    finally:
        _is_ours = False


_is_ours = False


def _hold_signals() -> None:
    _masks.before.append(signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING))


def _let_signals_in() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before.pop())


def _detach() -> None:
    if not _is_ours:
        global _is_copy  # noqa: PLW0603 - it is what this process is
        _is_copy = True
        name_this_copy()
        signals.give_up()
        for step in _steps:
            step()
    _let_signals_in()
