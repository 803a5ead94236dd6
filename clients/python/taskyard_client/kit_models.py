"""What the API answers of users, selection runs, usage and records."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from .models import Answer


class User(Answer):
    """A key without the scope `read` is told only id and times."""

    user_id: int
    email: str = ""
    name: str = ""
    webhook_endpoint_id: UUID | None = None
    created_at: datetime
    updated_at: datetime
    profile: dict[str, Any] | None = None
    statistics: dict[str, Any] = Field(default_factory=dict)


class Submitted(Answer):
    """A task that a call of its own has submitted."""

    task_id: UUID
    message: str = ""
    status: str = ""


class SelectionRun(Answer):
    """`id` is that of its task, too. A key without the scope `read` is told only ids, kind, status and time."""

    id: UUID
    task_id: UUID
    kind: str
    status: str
    created_at: datetime
    completed_at: datetime | None = None
    progress_percentage: float = 0
    log_messages: list[str] = Field(default_factory=list)
    error_message: str | None = None
    error_code: str | None = None
    result: Any = None


class UsageTaken(Answer):
    accepted: int


class Analytics(Answer):
    """`requests` None: the key is restricted to queues."""

    by: str
    requests: list[dict[str, Any]] | None = None
    models: list[dict[str, Any]] = Field(default_factory=list)
    aggregated_at: datetime | None = None


class CachedModels(Answer):
    """`message`: why there are none."""

    models: list[str] = Field(default_factory=list)
    cached_at: datetime | None = None
    age_seconds: float | None = None
    message: str | None = None


class Models(Answer):
    ollama_models: CachedModels
    litellm_models: CachedModels


class Record(Answer):
    key: str
    data: Any = None
    task_id: UUID
    updated_at: datetime


class Conversion(Answer):
    """`status`: NOT_STARTED, PENDING, PROGRESS, COMPLETED, FAILED or CANCELLED."""

    item_id: UUID
    status: str
    object_type: str = ""
    message: str = ""
    task_id: UUID | None = None
