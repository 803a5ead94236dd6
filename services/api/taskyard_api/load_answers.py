"""What an autoscaler reads: the work of queues in plain numbers."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from taskyard.store.fleet import MOST_COUNTED

from .answers import Shown


class Load(Shown):
    waiting: int = Field(
        description="Tasks that a worker could begin now: queued ones, and those whose delay or back-off is over,"
        f" without those that wait for a limit. 0 for a paused queue; at most {MOST_COUNTED} of each queue."
    )
    running: int = Field(description=f"Tasks that run; at most {MOST_COUNTED} of each queue.")
    total: int = Field(description="`waiting` and `running`: what an autoscaler goes by.")
    workers: int = Field(description="Living workers that serve any of the queues.")
    counted_at: datetime


class QueueLoad(Load):
    queue: str


class QueuesLoad(Load):
    queues: list[str]
