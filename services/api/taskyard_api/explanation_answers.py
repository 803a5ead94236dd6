"""Why a task is where it is, as it is answered."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from taskyard.domain.tasks import State
from taskyard.lifecycle.explanation import MOST_AHEAD, SHOWN_ATTEMPTS, SHOWN_STEPS
from taskyard.lifecycle.limit_holders import SHOWN_HOLDERS

from .answers import Shown


class Code(StrEnum):
    """Stable: programs may go by them. Further ones may come."""

    # Waiting
    STEPS = "steps"
    SCHEDULED = "scheduled"
    PUT_OFF = "put_off"
    RETRYING = "retrying"
    DUE = "due"
    NO_SCHEDULER = "no_scheduler"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    WORKERS_DRAIN = "workers_drain"
    UNKNOWN_TYPE = "unknown_type"
    OLDER_VERSION = "older_version"
    APART = "apart"
    EXPIRED = "expired"
    LIMITED = "limited"
    UNPUBLISHED = "unpublished"
    IN_LINE = "in_line"
    # Running
    CLAIMED = "claimed"
    RUNNING = "running"
    PROGRESS = "progress"
    CANCELLING = "cancelling"
    WORKER_SILENT = "worker_silent"
    # Over
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARTIAL = "partial"
    DISCARDED = "discarded"


class BlockingStep(Shown):
    task_id: UUID
    step: str
    state: State


class Holder(Shown):
    """A task that holds a limit: it runs, or was given to the workers."""

    task_id: UUID
    name: str
    state: State
    since: datetime


class Reason(Shown):
    """Only the values that belong to its code are there."""

    model_config = ConfigDict(extra="allow")

    code: Code
    message: str = Field(description="For people, in the reader's language.")
    since: datetime | None = Field(
        default=None, description="Of `paused`, `unpublished`, `claimed`, `running`, `cancelling`."
    )
    due_at: datetime | None = Field(
        default=None, description="Of `scheduled`, `put_off`, `retrying`, `due`, `no_scheduler`."
    )
    in_seconds: float | None = Field(default=None, description="Until `due_at`.")
    queue: str | None = None
    workers: int | None = Field(
        default=None, description="Live workers that serve the queue and take more tasks: `in_line`, `unknown_type`."
    )
    version: int | None = Field(default=None, description="Of `older_version`: the task's.")
    newest_version: int | None = Field(default=None, description="Of `older_version`: the newest that a worker runs.")
    steps: list[BlockingStep] | None = Field(
        default=None, description=f"Of `steps`: up to {SHOWN_STEPS} of those that you may see."
    )
    key: str | None = Field(default=None, description="Of `limited`: the key.")
    holders: list[Holder] | None = Field(
        default=None, description=f"Of `limited`: up to {SHOWN_HOLDERS} tasks that hold it, of those that you may see."
    )
    held: int | None = Field(default=None, description="Of `limited` with `concurrent`: how many hold it, up to that.")
    position: int | None = Field(
        default=None,
        description="Of `limited` with `key`: 1 for the next one of its queue that waits for the key. Left out beyond"
        f" {MOST_AHEAD:,}.",
    )
    earliest_in_seconds: float | None = Field(
        default=None, description="Of `limited` with `key` and `per_second`: its turn by the rate."
    )
    concurrent: int | None = Field(default=None, description="Of `limited`.")
    per_second: float | None = Field(default=None, description="Of `limited`.")
    worker: str | None = Field(default=None, description="Of `claimed`, `running` and `worker_silent`.")
    soft_limit_at: datetime | None = Field(default=None, description="Of `running`: about when.")
    hard_limit_at: datetime | None = Field(default=None, description="Of `running`: about when.")
    percent: float | None = Field(default=None, description="Of `progress`.")
    finished_at: datetime | None = Field(default=None, description="Of final states.")
    error_code: str | None = Field(default=None, description="Of `failed`.")


class ExplainedAttempt(Shown):
    """An attempt that has ended."""

    attempt: int
    outcome: str = Field(description="succeeded, failed, retrying, cancelled, released, crashed, suspected")
    message: str
    worker: str | None
    started_at: datetime | None
    finished_at: datetime
    error_code: str | None = None
    retry_at: datetime | None = None


class Explanation(Shown):
    task_id: UUID
    state: State
    summary: str = Field(description="The first reason, in one sentence.")
    reasons: list[Reason] = Field(description="What matters most is first; there is one at least.")
    position: int | None = Field(
        default=None,
        description="Of a queued task: 1 for the next one of its queue, by the order of submission and without tasks"
        f" that wait for a limit. Left out beyond {MOST_AHEAD:,} of either, and where it does not wait for its turn.",
    )
    estimate_seconds: float | None = Field(
        default=None,
        description="About how long until a worker takes it, by the rate of the queue's last five minutes. Left out"
        " where nothing ended in them, and where something other than its turn keeps it.",
    )
    attempts: list[ExplainedAttempt] = Field(
        description=f"Those that have ended, oldest first; the last {SHOWN_ATTEMPTS}."
    )


def left_out(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known."""
    return {name: value for name, value in values.items() if value is not None}
