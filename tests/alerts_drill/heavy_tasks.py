"""A task type that the heavy worker alone has, as those of the kit `geo` are: without this worker nobody runs it."""

from __future__ import annotations

import time
from datetime import timedelta

from taskyard import Params, Result, task
from taskyard.domain.retry import RetryPolicy


class HeavyParams(Params):
    seconds: float = 0.3


@task("drill.heavy", retry=RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False))
def work(params: HeavyParams) -> Result:
    """Takes so long."""
    time.sleep(params.seconds)
    return Result()
