"""The models of the answers, for the OpenAPI document. views.py makes the answers; tests compare the two."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from taskyard.domain.tasks import State
from taskyard.store.audit import Action


class Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)


T = TypeVar("T")


class Page(Shown, Generic[T]):
    items: list[T]
    next_cursor: str | None


class ProblemError(Shown):
    pointer: str = Field(description="Into the body (RFC 6901); `?name` for a query parameter; or a header's name.")
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, in snake_case.")
    request_id: str
    errors: list[ProblemError] = Field(default=[], description="With 422: everything that is wrong.")
    support_url: str | None = Field(default=None, description="Where people find help, where that is set.")


class TaskProgress(Shown):
    percent: float | None
    current: float
    total: float | None
    message: str


class TaskFailure(BaseModel):
    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    type: str
    retryable: bool
    attempt: int
    support_url: str | None


class LimitsShown(Shown):
    key: str
    concurrent: int | None = None
    per_second: float | None = None


class Task(Shown):
    id: UUID
    name: str
    queue: str
    state: State
    params: dict[str, Any]
    result: Any
    error: TaskFailure | None
    progress: TaskProgress | None
    attempt: int
    max_attempts: int
    crashes: int
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    cancel_requested_at: datetime | None
    worker: str | None
    tags: list[str]
    request_id: str | None
    trace_id: str | None
    version: int
    submitted_by: str | None
    partial: bool
    limits: LimitsShown | None
    discarded_at: datetime | None
    workflow_id: UUID | None
    schedule_id: UUID | None
    parent_id: UUID | None
    callback_url: str | None
    callback_on: list[str] | None


class ToldTask(Shown):
    """A task as it is shown to a key without the scope `read`: nothing of what is stored in it."""

    id: UUID
    name: str
    queue: str
    state: State
    created_at: datetime
    run_at: datetime
    expires_at: datetime | None


class Warned(Shown):
    code: Literal["no_live_worker"] = Field(
        description="`no_live_worker`: no live worker runs the type on the task's queue; the task waits for one."
    )
    message: str


class WithWarnings(Shown):
    warnings: list[Warned] = Field(
        default=[], description="What the caller may not have meant; left out where there is nothing."
    )


class AcceptedTask(WithWarnings, Task):
    pass


class ToldAcceptedTask(WithWarnings, ToldTask):
    pass


class TaskPage(Page[Task]):
    pass


class DeadLetterGroup(Shown):
    name: str
    code: str | None
    count: int
    first_failed_at: datetime
    last_failed_at: datetime


class DeadLetterGroups(Shown):
    items: list[DeadLetterGroup] = Field(description="The largest first; 50 at most.")
    grouped: int = Field(description="The dead letters of all groups.")
    has_more: bool = Field(description="Older dead letters were not counted, or smaller groups are left out.")


class BatchItem(Shown):
    id: UUID
    name: str
    state: State


class Batch(Shown):
    items: list[BatchItem]
    warnings: list[Warned] = Field(default=[], description="One for each type and queue; left out where there is none.")


class TaskStatus(Shown):
    """The status in Celery's words."""

    task_id: UUID
    state: Literal["PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "CANCELLED"]
    status: str
    progress: float
    result: Any
    error: str | None
    support_url: str | None
    info: Any
    ready: bool
    successful: bool


class Cancelled(Shown):
    task_id: UUID
    status: Literal["CANCELLED", "CANCELLING"]
    message: str


class TaskStarted(Shown):
    task_id: UUID
    status: str
    message: str


class Conversion(Shown):
    item_id: UUID
    status: Literal["NOT_STARTED", "PENDING", "PROGRESS", "COMPLETED", "FAILED", "CANCELLED"]
    object_type: str
    message: str
    support_url: str | None = Field(description="Where people find help, for a conversion that has failed.")
    task_id: UUID | None


class TaskEvent(Shown):
    id: str
    kind: str
    at: datetime
    attempt: int
    data: dict[str, Any]


class TaskTimeline(Page[TaskEvent]):
    pass


class TreeItem(Shown):
    item_id: UUID
    name: str
    object_type: str
    content_type: str
    size: int
    sha256: str
    parent_id: UUID | None
    task_id: UUID | None
    created_at: datetime = Field(description="When its content was made, which a conversion makes anew.")


class ToldTreeItem(Shown):
    """An item as it is shown to a key without the scope `read`."""

    item_id: UUID
    size: int
    sha256: str
    created_at: datetime


class TreeItemPage(Page[TreeItem]):
    pass


class AuditTarget(Shown):
    type: str
    id: str | None = Field(description="Null where many were changed at once: `details` name them.")


class AuditRow(Shown):
    id: UUID
    at: datetime
    action: Action
    actor: str = Field(description="The key's name, or `cli:<account>@<host>`.")
    api_key_id: UUID | None
    target: AuditTarget
    details: dict[str, Any]
    address: str | None
    request_id: str | None
    on_behalf_of: str | None = Field(description="The person whom the key was used for, as its holder said.")


class AuditPage(Page[AuditRow]):
    pass
