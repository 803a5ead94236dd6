"""The health check as a task: it shows that tasks run, not only that ports answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from ..domain.retry import RetryPolicy
from .types import Params, Result, TaskType


class CheckParams(Params):
    """None."""


class Check(Result):
    status: Literal["ok", "failed"]
    latency_ms: float
    reason: str | None = None


class CheckResult(Result):
    status: Literal["ok", "degraded"] = Field(description="degraded: at least one check failed.")
    timestamp: datetime
    checks: dict[str, Check] = Field(
        description="By dependency: redis, postgresql, storage, smtp; what is not configured is left out."
    )


CHECK = TaskType(
    name="health.check",
    description="Checks that everything the platform depends on answers, and how fast.",
    params=CheckParams,
    result=CheckResult,
    queue="high_priority",
    retry=RetryPolicy(retries=1, first_delay=timedelta(seconds=60), jitter=False, delays=()),
    soft_limit=timedelta(seconds=60),
    hard_limit=timedelta(seconds=90),
)
