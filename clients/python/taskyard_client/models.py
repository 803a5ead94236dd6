"""What the API answers. A newer API may tell more: what these models do not name is kept as it came."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from .errors import TaskCancelled, TaskFailed

FINAL = frozenset({"succeeded", "failed", "cancelled"})


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    def as_sent(self) -> dict[str, Any]:
        """The JSON of the API, without what it left out."""
        return self.model_dump(mode="json", exclude_unset=True)


class Progress(Answer):
    percent: float | None = None
    current: float = 0
    total: float | None = None
    message: str = ""


class Failure(Answer):
    """Why a task failed, or its last attempt did; `message` is for people."""

    code: str
    message: str
    retryable: bool = False


class Warned(Answer):
    code: str
    message: str


class Task(Answer):
    """A task. A key without the scope `read` is told only id, name, queue, state and times."""

    id: UUID
    name: str
    queue: str
    state: str
    params: dict[str, Any] = Field(default_factory=dict)
    result: Any = None
    error: Failure | None = None
    progress: Progress | None = None
    attempt: int = 0
    max_attempts: int = 0
    crashes: int = 0
    created_at: datetime | None = None
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    worker: str | None = None
    tags: list[str] = Field(default_factory=list)
    request_id: str | None = None
    trace_id: str | None = None
    version: int = 1
    submitted_by: str | None = None
    partial: bool = False
    soft_timeout_seconds: float | None = None
    hard_timeout_seconds: float | None = None
    limits: dict[str, Any] | None = None
    callback_url: str | None = None
    discarded_at: datetime | None = None
    workflow_id: UUID | None = None
    schedule_id: UUID | None = None
    parent_id: UUID | None = None
    warnings: list[Warned] = Field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"

    def value(self) -> Any:
        """The result of a task that succeeded. Raises TaskFailed, and TaskCancelled, which is one."""
        if self.succeeded:
            return self.result
        raise (TaskCancelled if self.state == "cancelled" else TaskFailed)(self)


class Accepted(Answer):
    """A task of a batch."""

    id: UUID
    name: str
    state: str


class Batch(Answer):
    items: list[Accepted]
    warnings: list[Warned] = Field(default_factory=list)


class Cancellation(Answer):
    """`status`: CANCELLED, or CANCELLING where the task runs and was asked to stop."""

    task_id: UUID
    status: str
    message: str


class Status(Answer):
    """A task in Celery's words."""

    task_id: UUID
    state: str
    status: str
    progress: float
    result: Any = None
    error: str | None = None
    info: Any = None
    ready: bool
    successful: bool


class TaskEvent(Answer):
    """An entry of a task's timeline. Progress has no id: the ledger keeps the newest only."""

    kind: str
    at: datetime | None = None
    attempt: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None


class Change(Answer):
    """A task has changed: how it is now."""

    task_id: UUID
    name: str
    queue: str
    state: str
    attempt: int = 0
    workflow_id: UUID | None = None


class Missed(Answer):
    """Changes that were not told. `lost`: how many; None: the stream was interrupted, and nobody counted."""

    lost: int | None = None


class Item(Answer):
    """A stored file. A key without the scope `read` is told no name."""

    item_id: UUID
    name: str = ""
    object_type: str = ""
    content_type: str = ""
    size: int
    sha256: str
    parent_id: UUID | None = None
    task_id: UUID | None = None
    created_at: datetime | None = None


class Nothing(Answer):
    """The answer to what has no answer: 204."""

    ignored: None = Field(default=None, exclude=True)


class WorkflowProgress(Answer):
    """Steps that have ended, of all. `excused`: optional ones that ended without success."""

    percent: float = 0
    current: int = 0
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    excused: int = 0


class WorkflowStep(Answer):
    """`needs`: the first hundred of `needs_count`, unless more were asked for; `pending_needs` have not ended yet."""

    name: str
    task_id: UUID
    task_name: str = ""
    queue: str = ""
    state: str
    attempt: int = 0
    needs: list[str] = Field(default_factory=list)
    needs_count: int = 0
    pending_needs: int = 0
    optional: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: Failure | None = None


class Workflow(Answer):
    """A workflow with a page of its steps. A key without the scope `read` is told only id, state and time."""

    id: UUID
    name: str | None = None
    state: str
    on_failure: str = "cancel_rest"
    progress: WorkflowProgress = WorkflowProgress()
    created_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None
    submitted_by: str | None = None
    callback_url: str | None = None
    trace_id: str | None = None
    request_id: str | None = None
    steps: list[WorkflowStep] = Field(default_factory=list)
    next_cursor: str | None = None
    warnings: list[Warned] = Field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"


class WorkflowCancellation(Answer):
    workflow_id: UUID
    status: str
    message: str = ""


class Load(Answer):
    """What waits and runs in `queues` together at `counted_at`; `total` is the sum of both."""

    queues: list[str] = Field(default_factory=list)
    waiting: int
    running: int
    total: int
    workers: int
    counted_at: datetime


class QueueRate(Answer):  # over the last five minutes
    finished_per_minute: float = 0
    failed_per_minute: float = 0


class Queue(Answer):
    """`depth` by state, as counted at `counted_at`. A key without the scope `read` is told what is set, and no more."""

    name: str
    paused: bool
    paused_at: datetime | None = None
    paused_by: str | None = None
    depth: dict[str, int] = Field(default_factory=dict)
    counted_at: datetime | None = None
    oldest_waiting_at: datetime | None = None
    workers: int | None = None
    rate: QueueRate = QueueRate()
    concurrent: int | None = None
    per_second: float | None = None


class QueuePage(Answer):
    items: list[Queue]
