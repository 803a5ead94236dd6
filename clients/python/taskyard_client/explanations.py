"""Why a task is where it is, as the API answers it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from .models import Answer


class Holder(Answer):
    """A task that holds a limit: it runs, or was given to the workers."""

    task_id: UUID
    name: str
    state: str
    since: datetime


class Reason(Answer):
    """`code` is stable, and other values stand beside it, by the code. `holders` of `limited`: some of the `held` tasks
    that hold the limit."""

    code: str
    message: str
    holders: list[Holder] = Field(default_factory=list)
    held: int | None = None


class EndedAttempt(Answer):
    attempt: int
    outcome: str
    message: str
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime
    error_code: str | None = None
    retry_at: datetime | None = None


class Explanation(Answer):
    """Why a task is where it is; `summary` is the first reason. `position`, `estimate_seconds`: where it waits for
    its turn and that is known."""

    task_id: UUID
    state: str
    summary: str
    reasons: list[Reason]
    position: int | None = None
    estimate_seconds: float | None = None
    attempts: list[EndedAttempt] = Field(default_factory=list)
