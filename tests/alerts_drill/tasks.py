"""Task types that need something outside of the platform: here files."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path

from taskyard import Params, Result, TaskContext, task
from taskyard.domain.retry import RetryPolicy

NEEDS_VARIABLE = "TASKYARD_DRILL_NEEDS"
PASSWORD, LIBRARY = "password", "library"


@task("drill.report", retry=RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False))
def report(params: Params, context: TaskContext) -> Result:
    """Reports what it finds behind a password."""
    _need(PASSWORD).read_text()
    return Result()


@task("drill.render", retry=RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False))
def render(params: Params, context: TaskContext) -> Result:
    """Draws a picture with a library in C."""
    if not _need(LIBRARY).exists():
        os.kill(os.getpid(), signal.SIGSEGV)
    return Result()


def _need(name: str) -> Path:
    return Path(os.environ[NEEDS_VARIABLE]) / name
