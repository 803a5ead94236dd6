"""What a delivery takes and returns."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from taskyard import Params, Result
from taskyard.outbound.urls import MAX_URL


class DeliverParams(Params):
    """`payload`: what is told. Without it, the newest progress of the task `progress_of`."""

    endpoint_id: UUID = Field(description="Whose secret signs.")
    url: str = Field(max_length=MAX_URL)
    payload: dict[str, Any] | None = None
    progress_of: UUID | None = None


class Delivered(Result):
    """`not_sent`: the endpoint was deleted or disabled, the task of a progress has ended, or its receiver did not take
    a progress, which is told once."""

    status: Literal["delivered", "not_sent"] = "delivered"
    reason: str | None = None
    answer: int | None = Field(default=None, description="The receiver's HTTP status.")
