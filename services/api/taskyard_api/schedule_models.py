"""The models of the answers about schedules, and the queries of their lists."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from taskyard.admission.bodies import TaskName
from taskyard.domain.tasks import State
from taskyard.schedules.bodies import SHOWN_FIRES, ScheduleName

from .answers import Page, Shown
from .models import PageQuery, Truth


class TaskOfSchedule(Shown):
    """What is submitted at each due time, as it was admitted: with the values that the type has by default."""

    name: str
    params: dict[str, Any] = Field(description="Secrets are shown as `***`.")
    queue: str
    version: int
    max_attempts: int
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    tags: list[str]
    on_cancel: str
    callback_url: str | None


class TriggerOfSchedule(Shown):
    cron: str | None
    timezone: str | None
    every_seconds: int | None
    at: datetime | None


class ToldSchedule(Shown):
    """A schedule as a key without the scope `read` is told of it."""

    id: UUID
    enabled: bool
    version: int = Field(description="Grows with each change.")
    created_at: datetime
    changed_at: datetime


class Fire(Shown):
    due_at: datetime = Field(description="Without jitter; by hand: when it was asked for.")
    until: datetime | None = Field(
        description="With `too_old`: this row stands for all due times from `due_at` to then."
    )
    fired_at: datetime | None
    outcome: Literal["submitted", "misfired", "coalesced", "too_old", "overlap", "no_live_worker", "unusable"] = Field(
        description="`submitted`: there is a task. Otherwise why there is none: `misfired` (missed, and what is missed"
        " is skipped), `coalesced` (missed, and a later due time makes up for it), `too_old` (older than"
        " `catch_up_seconds`), `overlap` (the last task had not ended), `no_live_worker` (none had the type),"
        " `unusable` (the trigger cannot be read any more)."
    )
    task_id: UUID | None
    task_state: State | None = Field(description="As it is now; null where there is no task, or it was removed since.")
    by_hand: bool


class Schedule(ToldSchedule):
    name: str
    next_fires: list[datetime] = Field(
        description=f"The next {SHOWN_FIRES} due times, without jitter; none while it is paused."
    )
    task: TaskOfSchedule
    trigger: TriggerOfSchedule
    misfire: Literal["skip", "once", "all"]
    overlap: Literal["allow", "skip"]
    catch_up_seconds: float
    start_at: datetime | None
    end_at: datetime | None
    jitter_seconds: float
    last_due_at: datetime | None = Field(description="Of the last task that was due.")
    last_task_id: UUID | None
    last_fire: Fire | None = Field(description="The latest of its fires, as `GET /schedules/{id}/fires` tells it.")
    source: str | None = Field(
        description="`kit:NAME` or `file:NAME` of what declared it; null where a caller of the API made it."
    )
    created_by: str | None = Field(description="The key that made it, or the account that ran a command.")


class SchedulePage(Page[Schedule]):
    pass


class FirePage(Page[Fire]):
    pass


class ToldFire(Shown):
    due_at: datetime
    outcome: str
    task_id: UUID | None


class Preview(Shown):
    next_fires: list[datetime] = Field(description="Without jitter.")


class SchedulesQuery(PageQuery):
    name: ScheduleName | None = None
    task_name: TaskName | None = None
    enabled: Truth | None = None
    troubled: Truth | None = Field(
        default=None,
        description="Whether the last due time has no task, unless another one makes up for it or the task before had"
        " not ended, or has one that failed and was not discarded.",
    )
