# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""Final tasks past their retention, and everything that is kept of them.

They are found by their ids, which carry the time of the submit: no index on `finished_at` is written with each task. A
task that has ended for so long was submitted before, so the walk reads the oldest ids, and those that callers chose
(version 4, above all others). The time of a workflow's steps is that of the workflow, and its state's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..domain.ids import earliest_id_at
from ..domain.tasks import State
from .reads import CLOCK_SKEW
from .tables.tasks import task

# Ids that one statement looks at: some 10 ms.
LOOKED_AT = 5_000
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=(1 << 128) - 1)
_AHEAD = timedelta(days=1)
_NOT_KEPT = {"claim", "worker_id", "due_at"}  # null by then, or of a worker that may be gone
_JSON = ("params", "limits", "callback", "result", "error")

_COLUMNS = ", ".join(
    f"t.{column.name}::text AS {column.name}" if column.name in _JSON else f"t.{column.name}"
    for column in task.columns
    if column.name not in _NOT_KEPT
)
# Which of the ids of `l` have submitted a task that has not ended, one read of an index for each. A statement asks it
# once, as `waited_for`. Without order and limit, PostgreSQL would read all live tasks where few have submitted most.
WAITED_FOR = """SELECT l.id AS parent_id FROM {ids} l CROSS JOIN LATERAL (
        SELECT FROM task c WHERE c.parent_id = l.id AND c.finished_at IS NULL ORDER BY c.parent_id, c.id LIMIT 1) c"""
# A task stays while one that it submitted, or its workflow, has not ended: these look at it. And while the task that
# submitted it may run again, which then finds its child with the same key instead of submitting another one. (It is
# compared as a value: for a NOT EXISTS, PostgreSQL would make a hash of the whole table in each look.) That of another
# step of the same workflow does not count: they are retried together, and go with it.
SETTLED = """t.id NOT IN (SELECT parent_id FROM waited_for)
    AND coalesce((SELECT p.state FROM task p WHERE p.id = t.parent_id
        AND (t.workflow_id IS NULL OR p.workflow_id IS DISTINCT FROM t.workflow_id)), 'succeeded') = 'succeeded'
    AND NOT EXISTS (SELECT FROM workflow f WHERE f.id = t.workflow_id AND f.finished_at IS NULL)"""
# A dead letter waits for a decision, and has a time of its own; a workflow with one is kept as long as it.
_AGE = """CASE {kind} WHEN 'succeeded' THEN CAST(:succeeded AS interval) WHEN 'failed' THEN CAST(:failed AS interval)
        WHEN 'cancelled' THEN CAST(:cancelled AS interval) ELSE CAST(:dead_letters AS interval) END"""
# Of a final task `t` without a workflow and of a workflow `f`; unknown (null) where it has not ended or stays for ever.
OLD_TASK = "t.finished_at < now() - " + _AGE.format(
    kind="CASE WHEN t.state = 'failed' AND t.discarded_at IS NULL THEN 'dead_letter' ELSE t.state END"
)
OLD_WORKFLOW = "f.finished_at < now() - " + _AGE.format(
    kind="""CASE WHEN EXISTS (SELECT FROM task d WHERE d.workflow_id = f.id AND d.state = 'failed'
        AND d.discarded_at IS NULL) THEN 'dead_letter' ELSE f.state END"""
)
_LOOK = sa.text(f"""
WITH looked AS (
    SELECT id, state, finished_at, discarded_at, workflow_id, parent_id FROM task
    WHERE id > :after AND id < :before ORDER BY id LIMIT :limit
), waited_for AS MATERIALIZED ({WAITED_FOR.format(ids="looked")} WHERE l.finished_at IS NOT NULL
), flows AS MATERIALIZED (
    SELECT f.id, {OLD_WORKFLOW} AS is_old FROM workflow f
    WHERE f.id IN (SELECT workflow_id FROM looked WHERE finished_at IS NOT NULL)
)
SELECT t.id, coalesce(CASE WHEN f.id IS NULL THEN {OLD_TASK} ELSE f.is_old END, false) AND {SETTLED} AS is_old
FROM looked t LEFT JOIN flows f ON f.id = t.workflow_id ORDER BY t.id
""")
_TASKS = sa.text(f"""
SELECT {_COLUMNS}, p.current AS progress_current, p.total AS progress_total, p.message AS progress_message
FROM task t LEFT JOIN task_progress p ON p.task_id = t.id AND p.attempt = t.attempt
WHERE t.id = ANY(:ids) AND t.finished_at IS NOT NULL ORDER BY t.id
""")
_ATTEMPTS = sa.text("""
SELECT id, task_id, attempt, outcome, worker, queue, started_at, finished_at, retry_at, error::text AS error, traceback,
    cause, peak_memory_bytes
FROM task_attempt WHERE task_id = ANY(:ids) AND (task_id, id) > (:after_task, :after) ORDER BY task_id, id LIMIT :limit
""")
_EVENTS = sa.text("""
SELECT id, task_id, attempt, at, kind, data::text AS data
FROM task_event WHERE task_id = ANY(:ids) AND (task_id, id) > (:after_task, :after) ORDER BY task_id, id LIMIT :limit
""")
KINDS = {"attempt": _ATTEMPTS, "event": _EVENTS}


# Of each age, the state of its tasks.
_STATES = {
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
    "dead_letters": State.FAILED,
}


@dataclass(frozen=True, slots=True)
class Ages:
    """How long final tasks are kept, by their state; None: for ever. `failed`: those that were discarded;
    `dead_letters`: the others."""

    succeeded: timedelta | None
    failed: timedelta | None
    cancelled: timedelta | None
    dead_letters: timedelta | None

    def of(self, states: Collection[str]) -> Ages:
        """The same, and all tasks in other states are kept for ever."""
        return Ages(**{name: age if _STATES[name] in states else None for name, age in self.intervals().items()})

    def intervals(self) -> dict[str, timedelta | None]:
        return {name: getattr(self, name) for name in _STATES}


@dataclass(frozen=True, slots=True)
class Look:
    """Ids of old tasks, in order, and the highest id that was looked at; None at the end of the range."""

    old: list[UUID]
    last: UUID | None


def ranges(ages: Ages, *, now: datetime | None = None) -> Iterator[tuple[UUID, UUID]]:
    """The ids that old tasks may have: up to the time before which all of them were submitted, and beyond that of
    today's, where chosen ids are. A chosen id in between is reached as time goes on."""
    today = now or datetime.now(UTC)
    limited = [age for age in ages.intervals().values() if age is not None]
    if not limited:
        return
    yield _LOWEST, earliest_id_at(today - min(limited) + CLOCK_SKEW)
    yield earliest_id_at(today + _AHEAD), _HIGHEST


def look(conn: Connection, ages: Ages, after: UUID, before: UUID) -> Look:
    """Looks at the next ids of the range, LOOKED_AT at most."""
    values = {"after": after, "before": before, "limit": LOOKED_AT, **ages.intervals()}
    rows = conn.execute(_LOOK, values).all()
    return Look([row.id for row in rows if row.is_old], rows[-1].id if len(rows) == LOOKED_AT else None)


def tasks(conn: Connection, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Final tasks, by id, with their progress (`progress_*`). JSON is text: as objects it would need up to sixty times
    the memory."""
    return conn.execute(_TASKS, {"ids": list(ids)}).all()


def belongings(
    conn: Connection, kind: str, ids: Sequence[UUID], *, after: tuple[UUID, int] | None, limit: int
) -> Sequence[Row[Any]]:
    """Up to `limit` rows of that kind (see KINDS) of the tasks, by task and time, behind `after` (task, id)."""
    after_task, last = after or (_LOWEST, 0)
    values: Mapping[str, Any] = {"ids": list(ids), "after_task": after_task, "after": last, "limit": limit}
    return conn.execute(KINDS[kind], values).all()
