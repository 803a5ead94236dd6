"""The models of the answers of queues, for the OpenAPI document."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from taskyard.store.fleet import MOST_COUNTED

from .answers import Page, Shown, Task, ToldTask


class QueueRate(Shown):
    """Over the last five minutes."""

    finished_per_minute: float
    failed_per_minute: float


class QueueShown(Shown):
    name: str
    paused: bool
    paused_at: datetime | None
    paused_by: str | None = Field(description="The key, or the account, that paused it.")
    depth: dict[str, int] = Field(
        description="Tasks that have not ended, by state, as the scheduler last counted them. What waits for a limit"
        " counts as `blocked`."
    )
    counted_at: datetime | None
    oldest_waiting_at: datetime | None
    workers: int
    rate: QueueRate
    concurrent: int | None
    per_second: float | None


class ToldQueue(Shown):
    """A queue as a key without the scope `read` is told of it."""

    name: str
    paused: bool
    paused_at: datetime | None
    concurrent: int | None
    per_second: float | None


class QueuePage(Page[QueueShown]):
    pass


class WaitingType(Shown):
    name: str
    tasks: int
    held: int = Field(description="Those that wait for a limit.")
    oldest_at: datetime = Field(description="When the oldest of them was submitted.")


class WaitingTypes(Shown):
    queue: str
    counted: int = Field(description=f"Queued tasks, the oldest {MOST_COUNTED:,} at most.")
    held: int = Field(description="Those that wait for a limit.")
    has_more: bool = Field(description="There may be more than were counted.")
    items: list[WaitingType] = Field(description="By number of tasks.")


class Purged(Shown):
    """`left`: what still waits, as when there was more than one call takes; not what was submitted since."""

    matched: int = Field(description="All that waited.")
    changed: int
    left: int
    at: datetime = Field(
        description="When it began. As `created_before` of the next call it leaves out what has been submitted since."
    )
    sample: list[Task] | list[ToldTask] = Field(default=[], description="With `dry_run`: the oldest of them.")
