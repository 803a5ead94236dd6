"""What refreshing the lists of models returns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from taskyard import Result


class FailedProvider(Result):
    reason: str = Field(description="In English.")
    code: str
    values: dict[str, Any] = Field(description="What the words of the code take.")
    age_seconds: float | None = Field(description="Of the older list, which stays; null where there is none.")


class LeftOut(Result):
    count: int
    first: list[str] = Field(description="Each by its place in the list, and by the name that cannot be shown.")


class RefreshResult(Result):
    ollama_models: int | None = Field(description="How many are cached; null where Ollama is not configured.")
    litellm_models: int | None = Field(description="How many are cached; null where LiteLLM is not configured.")
    cached_at: datetime = Field(description="When the fresh lists were asked for.")
    failed: dict[str, FailedProvider] = Field(
        default={}, description="By provider, `ollama` or `litellm`: those that gave no list."
    )
    left_out: dict[str, LeftOut] = Field(
        default={}, description="By provider: models whose names are empty, too long, or not printable."
    )
