"""Statistics over time and groups of failures: queries and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from taskyard.admission.bodies import ErrorCode, QueueName, TaskName
from taskyard.domain.error_groups import GroupState
from taskyard.domain.statistics import Window
from taskyard.domain.tasks import State
from taskyard.store.statistics import TOP_CODES

from .answers import Page, Shown
from .models import PageQuery, Query

_ESTIMATE = "Seconds. Percentiles are estimates, at most 19 % away from the true ones between 1 ms and 12 days."


class WindowQuery(Query):
    window: Window = Field(
        default=Window.HOUR, description="The last hour by the minute, day by 15 minutes, 31 days by 6 hours."
    )


class StatisticsQuery(WindowQuery):
    name: TaskName | None = Field(default=None, description="The task type.")
    queue: QueueName | None = None


class ErrorsQuery(PageQuery):
    state: GroupState | None = None
    name: TaskName | None = Field(default=None, description="The task type.")
    code: ErrorCode | None = None
    queue: QueueName | None = None
    window: Window | None = Field(default=None, description="Tell the `counts` of the last hour, day or 31 days, too.")

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in super().filters().items() if name != "window"}


class Times(Shown):
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class Counts(Shown):
    """Attempts that ended. What is cancelled or expires while it waits was never attempted."""

    succeeded: int
    failed: int = Field(description="For good: no further attempt followed by itself.")
    retried: int = Field(description="Failed, with another attempt to come.")
    crashed: int
    cancelled: int
    run: Times = Field(description=f"How long they ran. {_ESTIMATE}")
    wait: Times = Field(description="From queued to started. Seconds, estimated in the same way.")


class Point(Counts):
    at: datetime = Field(description="The begin of the step.")


class TypeCounts(Counts):
    name: str = Field(description="`_other`: its task was deleted before it was counted.")
    failed_share: float | None = Field(description="Of the tasks that succeeded or failed; null where there are none.")


class CodeCount(Shown):
    name: str
    code: str
    failures: int


class Series(Shown):
    window: Window
    step_seconds: int
    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to", description="The last point is still being counted.")


class StatisticsShown(Series):
    points: list[Point]
    totals: Counts
    types: list[TypeCounts] = Field(description="Those with the most attempts first.")
    errors: list[CodeCount] = Field(description=f"The {TOP_CODES} codes with the most failed attempts.")


class StateDepth(Shown):
    average: float
    most: int


class QueuePoint(Shown):
    at: datetime
    depth: dict[str, StateDepth] = Field(description="By state; empty where no scheduler sampled.")


class QueueHistory(Series):
    queue: str
    points: list[QueuePoint]


class WorkerPoint(Shown):
    at: datetime
    memory_bytes: int | None = Field(description="The most of the step; null where it was not sampled.")
    running: float | None = Field(description="Tasks that ran, on average.")
    most_running: int | None


class WorkerHistory(Series):
    worker_id: UUID
    points: list[WorkerPoint]


class ErrorGroup(Shown):
    id: UUID
    queue: str
    name: str
    code: str
    place: str | None = Field(
        description="`module:function` of the task's own code where it arose; null where that is not known. `_other`:"
        " beyond the bound of places that are told apart."
    )
    state: GroupState = Field(description="`returned`: it was solved, and came back.")
    message: str | None = Field(description="Of the newest failure, while its task is kept.")
    failures: int = Field(description="Attempts that failed so, since `first_seen_at`.")
    first_seen_at: datetime
    last_seen_at: datetime
    last_task_id: UUID
    solved_at: datetime | None
    solved_by: str | None = Field(description="The name of the API key.")
    returned_at: datetime | None


class ToldErrorGroup(Shown):
    """A group as it is shown to a key without the scope `read`."""

    id: UUID
    state: GroupState
    solved_at: datetime | None
    solved_by: str | None


class ListedError(ErrorGroup):
    counts: list[int] | None = Field(
        description="Failures in each step of the `window`, the oldest first; null where none was asked for."
    )


class ErrorPage(Page[ListedError]):
    pass


class ErrorPoint(Shown):
    at: datetime
    failures: int


class FailedTask(Shown):
    id: UUID
    state: State
    attempt: int
    created_at: datetime
    finished_at: datetime | None


class ErrorShown(ErrorGroup, Series):
    points: list[ErrorPoint]
    tasks: list[FailedTask] = Field(description="The newest that failed so, those that are kept; 20 at most.")
