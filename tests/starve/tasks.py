"""Task types that ordinary tasks' neighbours should not be."""

from __future__ import annotations

import ctypes
import threading

from taskyard import TaskContext, task
from taskyard.domain.retry import RetryPolicy


@task("starve.exit_others", retry=RetryPolicy(retries=0))
def exit_others(context: TaskContext) -> None:
    """Raises SystemExit in every other thread of its process."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
