"""Crashes: the query and the answer, beside models.py and answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from taskyard.admission.bodies import Instant, QueueName, TaskName

from .answers import Page, Shown
from .models import PageQuery


class CrashesQuery(PageQuery):
    worker: str | None = Field(default=None, min_length=1, max_length=64, description="A worker's name.")
    name: TaskName | None = Field(default=None, description="A task type.")
    queue: QueueName | None = None
    after: Instant | None = None
    before: Instant | None = None


class CrashCause(Shown):
    code: str | None = Field(
        description="`signal`, `out_of_memory`, `exit_code`, `thread_ended` or `worker_lost`; null: words only."
    )
    signal: str | None = Field(description="Its number and name.")
    exit_code: int | None


class Crash(Shown):
    task_id: UUID
    name: str
    queue: str
    attempt: int
    outcome: Literal["crashed", "suspected"] = Field(
        description="`suspected`: other tasks had begun in the same process; this one runs next alone."
    )
    cause: CrashCause
    message: str = Field(description="What happened, in the reader's language.")
    worker: str | None = Field(description="The worker's name.")
    child: str | None = Field(description="Which of its processes.")
    started_at: datetime | None
    finished_at: datetime
    peak_memory_bytes: int | None


class CrashPage(Page[Crash]):
    pass
