"""The models that providers offer, as Redis keeps them for an hour or so: one entry a provider."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

PROVIDERS = ("ollama", "litellm")


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
