"""The models that providers offer, as Redis keeps them for an hour: one entry a provider.

`models.refresh_cache` of the models kit writes them, `GET /models` of the API reads them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

PROVIDERS = ("ollama", "litellm")
# A list that no refresh replaces is not shown any longer than this.
KEPT = timedelta(hours=1)
# A list of so many names takes 1 MB of Redis at most where they are ASCII.
MAX_MODELS = 5_000
MAX_NAME = 200


class ModelList(BaseModel):
    model_config = ConfigDict(frozen=True)

    models: list[str]
    cached_at: AwareDatetime

    @classmethod
    def read(cls, stored: bytes) -> ModelList | None:
        """None where this is no such list."""
        try:
            return cls.model_validate_json(stored)
        except ValidationError:
            return None

    def stored(self) -> bytes:
        return self.model_dump_json().encode()

    def age_seconds(self, now: datetime) -> float:
        """0 where it comes from a clock that is ahead."""
        return max(0.0, round((now - self.cached_at).total_seconds(), 1))
