"""What the health check returns."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from taskyard import Result


class Check(Result):
    status: Literal["ok", "failed"]
    latency_ms: float
    reason: str | None = Field(default=None, description="In English; `/health/detailed` tells it by the code.")
    code: str | None = None
    values: dict[str, Any] = Field(default={}, description="What the words of the code take.")


class CheckResult(Result):
    status: Literal["ok", "degraded"] = Field(description="degraded: at least one check failed.")
    timestamp: datetime
    checks: dict[str, Check] = Field(
        description="By dependency: redis, cache, postgresql, storage, smtp, ollama, litellm; what is not configured is"
        " left out."
    )
