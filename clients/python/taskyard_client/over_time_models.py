"""What the API tells of attempts, queues and workers over time, and of failures in groups."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from .models import Answer

Window = Literal["hour", "day", "month"]
GroupState = Literal["open", "solved", "returned"]


class Times(Answer):
    """In seconds; percentiles are estimates. None where nothing was measured."""

    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class Counts(Answer):
    """Attempts that ended, by their outcome; how long they ran, and how long they had waited."""

    succeeded: int
    failed: int
    retried: int
    crashed: int
    cancelled: int
    run: Times
    wait: Times


class StatisticsPoint(Counts):
    at: datetime


class TypeCounts(Counts):
    name: str
    failed_share: float | None = None


class CodeCount(Answer):
    name: str
    code: str
    failures: int


class Series(Answer):
    """Points from `since` on, each `step_seconds` long."""

    window: str
    step_seconds: int
    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to")


class Statistics(Series):
    points: list[StatisticsPoint]
    totals: Counts
    types: list[TypeCounts]
    errors: list[CodeCount]


class StateDepth(Answer):
    average: float
    most: int


class QueuePoint(Answer):
    """`depth` by state; empty where no scheduler sampled."""

    at: datetime
    depth: dict[str, StateDepth]


class QueueHistory(Series):
    queue: str
    points: list[QueuePoint]


class WorkerPoint(Answer):
    at: datetime
    memory_bytes: int | None = None
    running: float | None = None
    most_running: int | None = None


class WorkerHistory(Series):
    worker_id: UUID
    points: list[WorkerPoint]


class ErrorGroup(Answer):
    """Failures of one task type and queue, with one code, from one place of the task's code."""

    id: UUID
    queue: str
    name: str
    code: str
    place: str | None = None
    state: str
    message: str | None = None
    failures: int
    first_seen_at: datetime
    last_seen_at: datetime
    last_task_id: UUID
    solved_at: datetime | None = None
    solved_by: str | None = None
    returned_at: datetime | None = None
    counts: list[int] | None = None
    """Of a list for a window: the failures of each of its steps, the oldest first."""


class MarkedError(Answer):
    """A group after it was solved or reopened. A key without the scope `read` is told no more."""

    id: UUID
    state: str
    solved_at: datetime | None = None
    solved_by: str | None = None


class ErrorPoint(Answer):
    at: datetime
    failures: int


class FailedTask(Answer):
    id: UUID
    state: str
    attempt: int
    created_at: datetime
    finished_at: datetime | None = None


class ErrorDetails(ErrorGroup, Series):
    """With its counts over time, and the newest tasks that failed so."""

    points: list[ErrorPoint]
    tasks: list[FailedTask]


class ErrorPage(Answer):
    items: list[ErrorGroup]
    next_cursor: str | None = None
