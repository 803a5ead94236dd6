"""The timeline of a task, composed of its row, its attempts and its notes.

Every event has an id that is stable between reads and can be compared, `attempt.rank.sequence`:

    0.0.0       submitted
    a.1.0       attempt a began
    a.2.<seq>   noted while attempt a ran: progress, log, cancel_requested
    a.3.<seq>   attempt a ended: succeeded, failed, retrying, cancelled, released, crashed, suspected
    a.4.<seq>   afterwards, before the next attempt: cancelled, retried, put_off, expired, discarded, restored

`seq` comes from one sequence for attempts and notes. Their writers hold the task's row or its claim, so `seq` grows
within a task. A final state without a row of its own (the last of too many crashes, a cancellation before the first
attempt) is shown by a derived event after the last row, `a.4.<last seq>`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..domain.tasks import FINAL, State
from .reads import UNBOUNDED, seen


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
_LAST_ATTEMPT = 2**31 - 1
_id = attrgetter("id")
_SUBMITTED, _STARTED, _NOTED, _ENDED, _AFTERWARDS = range(5)
# Notes that are written while the task does not run; they carry the number of the last attempt.
_BETWEEN_ATTEMPTS = frozenset({"cancelled", "retried", "put_off", "expired", "discarded", "restored"})
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
class Only:
    """Which events: of the log (`log`), or all but these (False); of one attempt. None: all."""

    log: bool | None = None
    attempt: int | None = None

    def takes(self, event: TimelineEvent) -> bool:
        return self.attempt is None or event.attempt == self.attempt


ALL = Only()


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
    t.queued_at, t.submitted_by, p.current, p.total, p.message, p.updated_at
FROM task t LEFT JOIN task_progress p ON p.task_id = t.id AND p.attempt = t.attempt WHERE t.id = :id
""")

# The sequence grows within a task, so a bound on `id` makes each a short walk over (task_id, id), however long the
# timeline; from its end, too. Of attempts there is no upper one: what began before it may have ended behind it.
_ATTEMPTS = """
SELECT id, attempt, outcome, worker, queue, started_at, finished_at, retry_at, error, traceback, cause,
    peak_memory_bytes, queued_at
FROM task_attempt WHERE task_id = :id AND id > :above AND attempt BETWEEN :first AND :last ORDER BY id %s LIMIT :limit
"""
# A cancellation may follow that of a task in a queue that the caller may not see (`:seen`, NULL: all).
_NOTES = """
SELECT id, attempt, at, kind, CASE
    WHEN CAST(:seen AS text[]) IS NULL THEN data
    WHEN EXISTS (SELECT FROM task t WHERE t.id = CAST(data ->> 'follows' AS uuid)
        AND t.queue = ANY(CAST(:seen AS text[]))) THEN data
    ELSE data - 'follows' END AS data
FROM task_event
WHERE task_id = :id AND id > :above AND id < :below AND attempt BETWEEN :first AND :last
    AND (CAST(:log AS boolean) IS NULL OR (kind = 'log') = CAST(:log AS boolean))
ORDER BY id %s LIMIT :limit
"""
_OLDEST, _NEWEST = ((sa.text(_ATTEMPTS % way), sa.text(_NOTES % way)) for way in ("", "DESC"))
# Later notes must not move the derived event of a final state, so they do not count as its last row.
_LAST = sa.text("""
(SELECT id, outcome AS kind FROM task_attempt WHERE task_id = :id ORDER BY id DESC LIMIT 1)
UNION ALL (SELECT id, kind FROM task_event WHERE task_id = :id AND kind NOT IN ('discarded', 'restored')
    ORDER BY id DESC LIMIT 1)
ORDER BY id DESC LIMIT 1
""")


def timeline(
    conn: Connection,
    task_id: UUID,
    *,
    after: EventId = BEGINNING,
    limit: int = 200,
    queues: Collection[str] | None = None,
    only: Only = ALL,
) -> Timeline | None:
    """Up to `limit` events after `after`; None where there is no such task. `queues` are those that the caller may see
    (None: all).

    READ COMMITTED is enough: followers read again, and compare ids. The task is read before its rows, so where its
    state is final, all rows are found.
    """
    above = after.sequence if after.rank >= _NOTED else 0
    bounds = {"above": above, "below": UNBOUNDED, "first": max(0, after.attempt), "last": _LAST_ATTEMPT}
    found = _read(conn, task_id, _OLDEST, bounds, limit, queues, only)
    if found is None:
        return None
    task, events, cut = found
    if task.state in FINAL and not cut:
        _conclude(conn, task_id, task, events, only)
    return _page(task, sorted((e for e in events if e.id > after), key=_id), cut, limit)


def newest(
    conn: Connection,
    task_id: UUID,
    *,
    before: EventId | None = None,
    limit: int = 200,
    queues: Collection[str] | None = None,
    only: Only = ALL,
) -> Timeline | None:
    """The same from the end, newest first: up to `limit` events before `before` (None: the last ones)."""
    end = EventId(_LAST_ATTEMPT, 0, 0) if before is None else before
    below = end.sequence if end.rank >= _NOTED else UNBOUNDED
    # What belongs to an attempt comes after its beginning.
    bounds = {"above": 0, "below": below, "first": 0, "last": end.attempt - (end.rank < _NOTED)}
    found = _read(conn, task_id, _NEWEST, bounds, limit, queues, only)
    if found is None:
        return None
    task, events, cut = found
    if task.state in FINAL:
        _conclude(conn, task_id, task, events, only)
    return _page(task, sorted((e for e in events if e.id < end), key=_id, reverse=True), cut, limit)


def _read(
    conn: Connection,
    task_id: UUID,
    walks: tuple[sa.TextClause, sa.TextClause],
    bounds: dict[str, int],
    limit: int,
    queues: Collection[str] | None,
    only: Only,
) -> tuple[Row[Any], list[TimelineEvent], bool] | None:
    """The task, its events without order, and whether there are more rows than were read."""
    task = conn.execute(_TASK, {"id": task_id}).first()
    if task is None:
        return None
    if only.attempt is not None:
        first, last = max(bounds["first"], only.attempt), min(bounds["last"], only.attempt)
        bounds = {**bounds, "first": first, "last": last}
    # One for `submitted`, and one to know whether there are more.
    values = {**bounds, "id": task_id, "limit": limit + 1, "seen": seen(queues), "log": only.log}
    of_attempts, of_notes = walks
    attempts = [] if only.log else conn.execute(of_attempts, values).all()
    notes = conn.execute(of_notes, values).all()
    events = [*(e for row in attempts for e in _of_attempt(row)), *map(_of_note, notes)]
    if not only.log:
        events.append(_submitted(task))
        if task.state == State.RUNNING:
            events.append(_started(task.attempt, task.started_at, task.worker, task.queued_at))
    return task, [e for e in events if only.takes(e)], len(notes) > limit or len(attempts) > limit


def _page(task: Row[Any], events: list[TimelineEvent], cut: bool, limit: int) -> Timeline:
    progress = None
    if task.updated_at is not None:
        progress = (task.current, task.total, task.message, task.updated_at)
    return Timeline(
        events[:limit],
        complete=not cut and len(events) <= limit,
        is_final=task.state in FINAL,
        state=State(task.state),
        queue=task.queue,
        progress=progress,
    )


def _submitted(task: Row[Any]) -> TimelineEvent:
    data = {"name": task.name, "queue": task.queue, "submitted_by": task.submitted_by}
    return TimelineEvent(EventId(0, _SUBMITTED, 0), "submitted", task.created_at, 0, data)


def _started(attempt: int, at: datetime, worker: str | None, queued_at: datetime | None) -> TimelineEvent:
    """`queued_at` is told where it is that of this attempt: one that its worker gave back is queued again already."""
    queued = {"queued_at": queued_at} if queued_at is not None and queued_at <= at else {}
    return TimelineEvent(EventId(attempt, _STARTED, 0), "started", at, attempt, {"worker": worker, **queued})


def _of_attempt(row: Row[Any]) -> list[TimelineEvent]:
    shown = {name: value for name in _SHOWN if (value := row._mapping[name]) is not None}
    ended = EventId(row.attempt, _ENDED, row.id)
    events = [TimelineEvent(ended, row.outcome, row.finished_at, row.attempt, shown, row.traceback)]
    if row.started_at is not None:
        events.insert(0, _started(row.attempt, row.started_at, row.worker, row.queued_at))
    return events


def _of_note(row: Row[Any]) -> TimelineEvent:
    rank = _AFTERWARDS if row.kind in _BETWEEN_ATTEMPTS else _NOTED
    kind = "progress" if row.kind == "stage" else row.kind
    return TimelineEvent(EventId(row.attempt, rank, row.id), kind, row.at, row.attempt, row.data)


def _conclude(conn: Connection, task_id: UUID, task: Row[Any], events: list[TimelineEvent], only: Only) -> None:
    if only.log:
        return
    last = conn.execute(_LAST, {"id": task_id}).first()
    if last is not None and last.kind in _FINAL_KINDS:
        return
    conclusion = EventId(task.attempt, _AFTERWARDS, last.id if last else 0)
    data = {"error": task.error} if task.error else {}
    event = TimelineEvent(conclusion, task.state, task.finished_at, task.attempt, data)
    if only.takes(event):
        events.append(event)
