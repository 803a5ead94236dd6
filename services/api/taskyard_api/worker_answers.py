"""The answers of the calls about workers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from .answers import Page, Shown


class WorkerShown(Shown):
    id: UUID
    name: str
    host: str
    pid: int
    version: str
    queues: list[str]
    processes: int
    threads: int
    state: str
    running_tasks: int
    running: list[UUID]
    memory_bytes: int | None
    children: list[dict[str, Any]]
    started_at: datetime
    last_beat_at: datetime
    lost_at: datetime | None
    stopped_at: datetime | None
    drain_asked_at: datetime | None
    restart_asked_at: datetime | None = Field(description="Until all of its processes are replaced.")
    processes_asked: str | None = Field(description="Until the worker has taken it over as `processes`.")


class ToldWorker(Shown):
    """A worker as it is shown to a key without the scope `read`."""

    id: UUID
    state: str
    drain_asked_at: datetime | None
    restart_asked_at: datetime | None
    processes_asked: str | None


class WorkerPage(Page[WorkerShown]):
    pass
