"""A task type that needs something outside of the platform: here a file, in the world a password or another service."""

from __future__ import annotations

import os
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
