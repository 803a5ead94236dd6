"""The models of the answers about health, beside answers.py."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from .answers import Shown


class Alive(Shown):
    status: Literal["alive"]


class Ready(Shown):
    status: Literal["ready", "degraded"]
    database: str
    redis: str


class Component(BaseModel):
    model_config = ConfigDict(extra="allow")

    status: Literal["healthy", "degraded", "unhealthy"]
    latency_ms: float
    reason: str | None = None


class Health(Shown):
    status: Literal["healthy", "degraded", "unhealthy"]
    components: dict[str, Component]
