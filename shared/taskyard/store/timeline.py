"""The timeline of a task, composed of its row, its attempts and its notes.

Every event has an id that is stable between reads and can be compared, `attempt.rank.sequence`:

    0.0.0       submitted
    a.1.0       attempt a began
    a.2.<seq>   noted while attempt a ran: progress, log, cancel_requested
    a.3.<seq>   attempt a ended: succeeded, failed, retrying, cancelled, released, crashed, suspected
    a.4.<seq>   afterwards, before the next attempt: cancelled, retried, put_off, expired, discarded

`seq` comes from one sequence for attempts and notes. Their writers hold the task's row or its claim, so `seq` grows
within a task. A final state without a row of its own (the last of too many crashes, a cancellation before the first
attempt) is shown by a derived event after the last row, `a.4.<last seq>`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..domain.tasks import FINAL, State
from .reads import seen


class EventId(NamedTuple):
    attempt: int
    rank: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.rank}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Raises ValueError where the text is not one of our ids."""
        parts = text.split(".")
        if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) < 19 for p in parts):
            raise ValueError("not the id of an event")
        return cls(*map(int, parts))


BEGINNING = EventId(-1, 0, 0)
_SUBMITTED, _STARTED, _NOTED, _ENDED, _AFTERWARDS = range(5)
# Notes that are written while the task does not run; they carry the number of the last attempt.
_BETWEEN_ATTEMPTS = frozenset({"cancelled", "retried", "put_off", "expired", "discarded"})
_FINAL_KINDS = frozenset({*map(str, FINAL), "expired"})
# What the end of an attempt shows of its row.
_SHOWN = ("worker", "error", "cause", "retry_at", "peak_memory_bytes")


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    id: EventId
    kind: str
    at: datetime
    attempt: int
    data: dict[str, Any]
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events in order. `complete`: there are no later ones now; `is_final`: nor will there be, unless the task is
    retried.

    `progress` is the latest as (current, total, message, updated_at); it is stored apart from the events.
    """

    events: list[TimelineEvent]
    complete: bool
    is_final: bool
    state: State
    queue: str
    progress: tuple[float, float | None, str, datetime] | None


_TASK = sa.text("""
SELECT t.state, t.queue, t.name, t.attempt, t.created_at, t.run_at, t.started_at, t.finished_at, t.worker, t.error,
    t.submitted_by, p.current, p.total, p.message, p.updated_at
FROM task t LEFT JOIN task_progress p ON p.task_id = t.id AND p.attempt = t.attempt WHERE t.id = :id
""")

# The sequence grows within a task, so `id > :sequence` is a short walk over (task_id, id), however long the timeline.
_ATTEMPTS = sa.text("""
SELECT id, attempt, outcome, worker, queue, started_at, finished_at, retry_at, error, traceback, cause,
    peak_memory_bytes
FROM task_attempt WHERE task_id = :id AND id > :sequence AND attempt >= :attempt ORDER BY id LIMIT :limit
""")
# A cancellation may follow that of a task in a queue that the caller may not see (`:seen`, NULL: all).
_NOTES = sa.text("""
SELECT id, attempt, at, kind, CASE
    WHEN CAST(:seen AS text[]) IS NULL THEN data
    WHEN EXISTS (SELECT FROM task t WHERE t.id = CAST(data ->> 'follows' AS uuid)
        AND t.queue = ANY(CAST(:seen AS text[]))) THEN data
    ELSE data - 'follows' END AS data
FROM task_event
WHERE task_id = :id AND id > :sequence AND attempt >= :attempt ORDER BY id LIMIT :limit
""")
# Later notes must not move the derived event of a final state, so they do not count as its last row.
_LAST = sa.text("""
(SELECT id, outcome AS kind FROM task_attempt WHERE task_id = :id ORDER BY id DESC LIMIT 1)
UNION ALL (SELECT id, kind FROM task_event WHERE task_id = :id AND kind <> 'discarded' ORDER BY id DESC LIMIT 1)
ORDER BY id DESC LIMIT 1
""")


def timeline(
    conn: Connection,
    task_id: UUID,
    *,
    after: EventId = BEGINNING,
    limit: int = 200,
    queues: Collection[str] | None = None,
) -> Timeline | None:
    """Up to `limit` events after `after`; None where there is no such task. `queues` are those that the caller may see
    (None: all).

    READ COMMITTED is enough: followers read again, and compare ids. The task is read before its rows, so where its
    state is final, all rows are found.
    """
    task = conn.execute(_TASK, {"id": task_id}).first()
    if task is None:
        return None
    values = {
        "id": task_id,
        "sequence": after.sequence if after.rank >= _NOTED else 0,
        "attempt": max(0, after.attempt),
        # One for `submitted`, and one to know whether there are more.
        "limit": limit + 1,
        "seen": seen(queues),
    }
    attempts = conn.execute(_ATTEMPTS, values).all()
    notes = conn.execute(_NOTES, values).all()
    events = [_submitted(task), *(e for row in attempts for e in _of_attempt(row)), *map(_of_note, notes)]
    if task.state == State.RUNNING:
        events.append(_started(task.attempt, task.started_at, task.worker))
    cut = len(notes) > limit or len(attempts) > limit
    is_final = task.state in FINAL
    if is_final and not cut:
        _conclude(conn, task_id, task, events)
    events.sort(key=lambda e: e.id)
    fresh = [e for e in events if e.id > after]
    progress = None
    if task.updated_at is not None:
        progress = (task.current, task.total, task.message, task.updated_at)
    return Timeline(
        fresh[:limit],
        complete=not cut and len(fresh) <= limit,
        is_final=is_final,
        state=State(task.state),
        queue=task.queue,
        progress=progress,
    )


def _submitted(task: Row[Any]) -> TimelineEvent:
    data = {"name": task.name, "queue": task.queue, "submitted_by": task.submitted_by}
    return TimelineEvent(EventId(0, _SUBMITTED, 0), "submitted", task.created_at, 0, data)


def _started(attempt: int, at: datetime, worker: str | None) -> TimelineEvent:
    return TimelineEvent(EventId(attempt, _STARTED, 0), "started", at, attempt, {"worker": worker})


def _of_attempt(row: Row[Any]) -> list[TimelineEvent]:
    shown = {name: value for name in _SHOWN if (value := row._mapping[name]) is not None}
    ended = EventId(row.attempt, _ENDED, row.id)
    events = [TimelineEvent(ended, row.outcome, row.finished_at, row.attempt, shown, row.traceback)]
    if row.started_at is not None:
        events.insert(0, _started(row.attempt, row.started_at, row.worker))
    return events


def _of_note(row: Row[Any]) -> TimelineEvent:
    rank = _AFTERWARDS if row.kind in _BETWEEN_ATTEMPTS else _NOTED
    kind = "progress" if row.kind == "stage" else row.kind
    return TimelineEvent(EventId(row.attempt, rank, row.id), kind, row.at, row.attempt, row.data)


def _conclude(conn: Connection, task_id: UUID, task: Row[Any], events: list[TimelineEvent]) -> None:
    last = conn.execute(_LAST, {"id": task_id}).first()
    if last is not None and last.kind in _FINAL_KINDS:
        return
    conclusion = EventId(task.attempt, _AFTERWARDS, last.id if last else 0)
    data = {"error": task.error} if task.error else {}
    events.append(TimelineEvent(conclusion, task.state, task.finished_at, task.attempt, data))
