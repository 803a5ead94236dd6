"""Task types that need something outside of the platform: here a file, in the world a password or another service."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path

from taskyard import Params, Result, TaskContext, task
from taskyard.domain.retry import RetryPolicy

NEED_VARIABLE = "TASKYARD_DRILL_NEED"


@task("drill.report", retry=RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False))
def report(params: Params, context: TaskContext) -> Result:
    """Fails while the file is missing."""
    Path(os.environ[NEED_VARIABLE]).read_text()
    return Result()


@task("drill.render", retry=RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False))
def render(params: Params, context: TaskContext) -> Result:
    """Kills its process while the file is missing, as a library does that was updated."""
    if not Path(os.environ[NEED_VARIABLE]).exists():
        os.kill(os.getpid(), signal.SIGSEGV)
    return Result()
