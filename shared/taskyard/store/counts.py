"""Counts of the ledger for tasks, whose role cannot read its tables (docs/decisions/0030-counts-for-reports.md).

`queues` below: those that the caller may see (None: all). A task passes its context's `allowed_queues`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

SCHEMA = "taskyard_counts"
# Those that the role of `context.db()` may call (store/task_role_grants.py).
FUNCTIONS = (
    f"{SCHEMA}.tasks(text, timestamptz, timestamptz, text[], int)",
    f"{SCHEMA}.course(timestamptz[], timestamptz, text[])",
    f"{SCHEMA}.failures(timestamptz, timestamptz, text[], int)",
    f"{SCHEMA}.queues(text[], int)",
)

Grouping = Literal["name", "queue"]


class TaskGroup(NamedTuple):
    """Tasks of a type or a queue that were submitted in a time. Seconds are those of their latest attempts: until a
    worker took them, and of those that succeeded, while they ran; `late`: the 95th percentile. None: there were none.
    """

    name: str
    tasks: int
    succeeded: int
    failed: int
    cancelled: int
    unfinished: int
    mean_wait: float | None
    late_wait: float | None
    mean_run: float | None
    late_run: float | None


class Outcomes(NamedTuple):
    """Tasks by what became of them until now."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    unfinished: int = 0


class FailureGroup(NamedTuple):
    name: str
    code: str
    tasks: int


class QueueNow(NamedTuple):
    """`later`: scheduled, retrying or blocked; `oldest_seconds`: how long the first in the queue has waited."""

    name: str
    is_paused: bool
    queued: int
    later: int
    running: int
    oldest_seconds: float | None


_TASKS = sa.text("SELECT * FROM taskyard_counts.tasks(:grouping, :start, :end, CAST(:queues AS text[]), :most)")
_COURSE = sa.text("SELECT * FROM taskyard_counts.course(CAST(:bounds AS timestamptz[]), :end, CAST(:queues AS text[]))")
_FAILURES = sa.text("SELECT * FROM taskyard_counts.failures(:start, :end, CAST(:queues AS text[]), :most)")
_QUEUES = sa.text("SELECT * FROM taskyard_counts.queues(CAST(:queues AS text[]), :most)")


def tasks(
    conn: Connection, by: Grouping, start: datetime, end: datetime, *, queues: Collection[str] | None, most: int
) -> tuple[list[TaskGroup], int]:
    """Up to `most` groups, the largest first, and how many there are."""
    values = {"grouping": by, "start": start, "end": end, "queues": _bound(queues), "most": most}
    found = conn.execute(_TASKS, values).all()
    return [TaskGroup(*row[:-1]) for row in found], _groups(found)


def course(
    conn: Connection, bounds: Sequence[datetime], end: datetime, *, queues: Collection[str] | None
) -> list[Outcomes]:
    """Outcomes by the time of the submit, one entry a bound: from it to before the next one, or the end."""
    found = conn.execute(_COURSE, {"bounds": list(bounds), "end": end, "queues": _bound(queues)})
    by_bucket = {row.bucket: Outcomes(*row[1:]) for row in found}
    return [by_bucket.get(n, Outcomes()) for n in range(len(bounds))]


def failures(
    conn: Connection, start: datetime, end: datetime, *, queues: Collection[str] | None, most: int
) -> tuple[list[FailureGroup], int]:
    """Up to `most` pairs of type and code, the most frequent first, and how many there are."""
    found = conn.execute(_FAILURES, {"start": start, "end": end, "queues": _bound(queues), "most": most}).all()
    return [FailureGroup(*row[:-1]) for row in found], _groups(found)


def queues_now(conn: Connection, *, queues: Collection[str] | None, most: int) -> tuple[list[QueueNow], int]:
    """Up to `most` queues, the fullest first, and how many there are."""
    found = conn.execute(_QUEUES, {"queues": _bound(queues), "most": most}).all()
    return [QueueNow(*row[:-1]) for row in found], _groups(found)


def _bound(queues: Collection[str] | None) -> list[str] | None:
    return None if queues is None else sorted(queues)


def _groups(found: Sequence[sa.Row[tuple[object, ...]]]) -> int:
    return int(found[0].groups) if found else 0
