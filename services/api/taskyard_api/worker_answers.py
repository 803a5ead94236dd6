"""The answers of the calls about workers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from .answers import Page, Shown


class EndedAttempts(Shown):
    succeeded: int
    failed: int
    retried: int = Field(description="Failed, and tried again.")
    crashed: int
    cancelled: int


class WorkerShown(Shown):
    id: UUID
    name: str
    host: str
    pid: int
    version: str
    queues: list[str]
    processes: int = Field(description="Its children that live now, without those in quarantine.")
    processes_most: int = Field(description="So many it may start: the same, or the upper end of its range.")
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
    processes_asked: str | None = Field(description="Until the worker has taken it over as `processes_most`.")
    task_types: list[str] = Field(description="Their names.")
    attempts: EndedAttempts | None = Field(
        description="How many ended since its start. null: an earlier release runs there, or it serves queues that the"
        " key may not see."
    )
    load_average: list[float] | None = Field(description="Of its host, over 1, 5 and 15 minutes.")


class RunningTask(Shown):
    id: UUID
    name: str
    queue: str
    attempt: int
    started_at: datetime | None


class WorkerDetails(WorkerShown):
    tasks: list[RunningTask] = Field(description="What of `running` runs still, the oldest start first.")


class ToldWorker(Shown):
    """A worker as it is shown to a key without the scope `read`."""

    id: UUID
    state: str
    drain_asked_at: datetime | None
    restart_asked_at: datetime | None
    processes_asked: str | None


class WorkerPage(Page[WorkerShown]):
    pass
