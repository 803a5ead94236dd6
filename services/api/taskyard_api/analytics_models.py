"""Usage and analytics: bodies, queries and answers, beside models.py and answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from taskyard.admission.bodies import NUMBER, Body, Instant
from taskyard.store.analytics import OTHER, TAKEN_DAYS, TOP_MODELS, By

from .answers import Shown
from .models import Query

MAX_EVENTS = 1_000
MAX_TOKENS = 10**12


class UsageEventBody(Body):
    model: str = Field(min_length=1, max_length=200, description=f"Not `{OTHER}`, which answers call the rest.")
    tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS), NUMBER]
    at: Instant = Field(description=f"{TAKEN_DAYS} days ago at most, and not in the future.")


class UsageEventsBody(Body):
    events: list[UsageEventBody] = Field(min_length=1, max_length=MAX_EVENTS)


class AnalyticsQuery(Query):
    start: Instant | None = Field(
        default=None, alias="from", description="By default a day before `to`. Whole hours are told: those it touches."
    )
    end: Instant | None = Field(default=None, alias="to", description="By default now.")
    by: By = Field(default="hour", description="`hour`: 7 days at most; `day` (in UTC): 366; `total`: 731.")


class UsageTaken(Shown):
    accepted: int


class RequestSums(Shown):
    start: datetime = Field(alias="from", description="The begin of the bucket.")
    method: str
    route: str = Field(description="The template of the path; `_other`: no route has it.")
    requests: int
    client_errors: int = Field(description="Answers 400 to 499.")
    server_errors: int = Field(description="Answers from 500.")
    mean_seconds: float


class ModelSums(Shown):
    start: datetime = Field(alias="from", description="The begin of the bucket.")
    model: str = Field(description=f"`_other`: all but the {TOP_MODELS} with the most tokens of the bucket.")
    events: int
    tokens: int


class Analytics(Shown):
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    by: By
    requests: list[RequestSums] | None = Field(
        description="Of all callers, up to a minute late; null for keys that are restricted to queues."
    )
    models: list[ModelSums] = Field(description="Of all callers; of a key that is restricted to queues, its own.")
    aggregated_at: datetime | None = Field(
        description="When an hour of this time was last summed up; other hours are summed up as they are asked for."
    )


class CachedModels(Shown):
    models: list[str]
    cached_at: datetime | None
    age_seconds: float | None
    message: str | None = Field(description="Why there are none.")


class Models(Shown):
    ollama_models: CachedModels
    litellm_models: CachedModels
