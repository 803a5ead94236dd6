"""What analytics.aggregate takes and returns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from taskyard import Params, Result
from taskyard.store.analytics import TOP_MODELS

MAX_HOURS = 168


class AggregateParams(Params):
    hours: Annotated[int, Field(ge=1, le=MAX_HOURS)] = Field(
        default=24,
        description="How many whole hours before now the result tells of. Every hour that has no sums is summed up,"
        " whatever this says.",
    )


class RequestTotals(Result):
    total: int
    client_errors: int = Field(description="Answers 400 to 499.")
    server_errors: int = Field(description="Answers from 500.")
    mean_seconds: float | None = Field(description="Null without requests.")


class ModelTotals(Result):
    model: str = Field(description=f"`_other`: all but the {TOP_MODELS} with the most tokens.")
    events: int
    tokens: int


class Aggregated(Result):
    """`requests` and `models` are of the last `hours`, whichever run summed them up: a repeat tells the same."""

    requests: RequestTotals | None = Field(
        description="Of all callers; null where the key that submitted is restricted to queues."
    )
    models: list[ModelTotals] = Field(
        description="Most tokens first; where the key is restricted to queues, what it told itself."
    )
    aggregated_at: datetime
    summed_hours: int = Field(description="How many hours this run summed up, late ones among them.")
    open_hours: int = Field(description="How many are left to the next run.")
