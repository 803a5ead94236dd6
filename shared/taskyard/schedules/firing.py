"""fire_due: the fires of what is due, their tasks and outbox row, and the cursors, in one transaction of the leader.

A few statements for some hundreds of schedules, none for each. That a due time happens once is the key of
`schedule_fire`; that it happens at all is the cursor, which only moves together with the fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from ..domain.new_tasks import NewTask
from ..lifecycle.batch import encode
from ..lifecycle.committed import Committed
from ..lifecycle.submit import submit
from ..store.schedules import Schedule
from ..store.task_types import live_types
from ..telemetry.exports import publishing
from .planning import Look, Plan, plan, unusable
from .triggers import jitter_of, times_of

if TYPE_CHECKING:
    from ..telemetry.spans import Tracer

log = structlog.stdlib.get_logger(__name__)

MOST_SCHEDULES = 500
# In one transaction, so that it takes about a second: people who change a schedule wait for it.
MOST_FIRES = 5000
_MOST_TASKS = 1000
# Of the JSON of tasks, in one transaction.
_MOST_BYTES = 16 * 1024 * 1024

# Half of the places are for the latest, so that a backlog of others does not hold up what is due now. SKIP LOCKED: one
# that is being edited this very moment comes in the next pass, and takes no place from others. The last FOR UPDATE
# reads the newest version of what the others have locked.
_DUE = sa.text("""
SELECT s.*, now() AS now
FROM schedule s
WHERE s.fires_at <= now() AND s.id = ANY(ARRAY(
    SELECT id FROM (
        SELECT id, sum(task_bytes) OVER (ORDER BY fires_at DESC, id DESC) - task_bytes AS bytes_before FROM (
            SELECT * FROM (SELECT id, fires_at, task_bytes FROM schedule
                WHERE fires_at <= now() AND fires_at IS NOT NULL ORDER BY fires_at DESC, id DESC LIMIT :half
                FOR UPDATE SKIP LOCKED) latest
            UNION SELECT * FROM (SELECT id, fires_at, task_bytes FROM schedule
                WHERE fires_at <= now() AND fires_at IS NOT NULL ORDER BY fires_at, id LIMIT :half
                FOR UPDATE SKIP LOCKED) oldest
        ) d
    ) d WHERE bytes_before < :bytes))
ORDER BY s.fires_at DESC, s.id DESC FOR UPDATE OF s SKIP LOCKED
""")

# A statement of its own, after the lock: it sees the task of whoever held the row before. Due times have a fire already
# where the trigger could not be read for a while.
_SO_FAR = sa.text("""
SELECT s.id, s.overlap = 'skip' AND EXISTS (
        SELECT FROM task t WHERE t.id = s.last_task_id AND t.finished_at IS NULL) AS is_running,
    ARRAY(SELECT f.due_at FROM schedule_fire f WHERE f.schedule_id = s.id AND f.due_at >= s.next_due_at
        AND NOT f.by_hand ORDER BY f.due_at LIMIT 1000) AS fired
FROM schedule s WHERE s.id = ANY(:ids)
""")

_FIRES = sa.text("""
INSERT INTO schedule_fire (schedule_id, due_at, until, outcome, task_id)
SELECT schedule_id, due_at, until, outcome, task_id FROM json_to_recordset(CAST(:batch AS json))
    AS x(schedule_id uuid, due_at timestamptz, until timestamptz, outcome text, task_id uuid)
ORDER BY schedule_id, due_at
ON CONFLICT (schedule_id, due_at) DO NOTHING
RETURNING schedule_id, due_at, fired_at, outcome, task_id
""")

_ADVANCE = sa.text("""
UPDATE schedule s SET next_due_at = x.next_due_at, fires_at = x.fires_at,
    last_due_at = coalesce(x.last_due_at, s.last_due_at), last_task_id = coalesce(x.last_task_id, s.last_task_id)
FROM json_to_recordset(CAST(:batch AS json)) AS x(id uuid, version integer, next_due_at timestamptz,
    fires_at timestamptz, last_due_at timestamptz, last_task_id uuid)
WHERE s.id = x.id AND s.version = x.version
""")

_NEXT = sa.text("SELECT extract(epoch FROM min(fires_at) - now())::float8 FROM schedule WHERE fires_at IS NOT NULL")


@dataclass(slots=True)
class Fired:
    """`drifts`: by how many seconds tasks came later than their due time with its jitter. `next_in`: the seconds until
    something is due; None: nothing is."""

    outcomes: list[str] = field(default_factory=list)
    drifts: list[float] = field(default_factory=list)
    next_in: float | None = None


def fire_due(
    conn: Connection,
    *,
    grace: timedelta,
    led: timedelta,
    lease: timedelta,
    limit: int = MOST_SCHEDULES,
    tracer: Tracer | None = None,
) -> Committed[Fired]:
    """Call it in a transaction. `grace`: how much later a due time may come without being missed; `led`: for how long
    the caller has been leading; `lease`: how long a worker lives after a heartbeat."""
    rows = conn.execute(_DUE, {"half": (limit + 1) // 2, "bytes": _MOST_BYTES}).mappings().all()
    if not rows:
        return Committed(Fired(next_in=conn.execute(_NEXT).scalar()))
    so_far = {row.id: row for row in conn.execute(_SO_FAR, {"ids": [row["id"] for row in rows]})}
    live = live_types(conn, lease=lease)
    plans: list[Plan] = []
    fires, tasks, size = 0, 0, 0
    # What is due now is first: it takes little of its share, and leaves the rest to those with a backlog.
    for row, left in zip(rows, range(len(rows), 0, -1), strict=True):
        if fires >= MOST_FIRES:
            break  # `once` may exceed its share; what is left is due still
        schedule = Schedule(**{name: row[name] for name in Schedule.__slots__})
        look = Look(
            now=row["now"],
            grace=grace,
            led=led,
            has_worker=live.get((schedule.task_name, schedule.queue), 0) >= schedule.task.get("version", 0),
            is_running=so_far[schedule.id].is_running,
            fired=frozenset(so_far[schedule.id].fired),
            most_due=max(1, (MOST_FIRES - fires) // left),
            most_tasks=max(1, min(_MOST_TASKS - tasks, (_MOST_BYTES - size) // schedule.task_bytes) // left),
        )
        made = _planned(schedule, look)
        plans.append(made)
        fires += len(made.fires)
        tasks += len(made.tasks)
        size += len(made.tasks) * schedule.task_bytes
    won, done = _carried_out(conn, plans, tracer)
    return done.answering(_told(won, plans, conn.execute(_NEXT).scalar()))


def _planned(schedule: Schedule, look: Look) -> Plan:
    try:
        times = times_of(schedule.trigger, schedule.anchored_at, schedule.start_at, schedule.end_at)
        return plan(schedule, times, look)
    except Exception:  # of a release that takes other triggers, of a time zone that is gone
        log.exception("schedule_unusable", schedule_id=str(schedule.id), name=schedule.name)
        return unusable(schedule, look)


def _carried_out(conn: Connection, plans: list[Plan], tracer: Tracer | None) -> tuple[Sequence[Any], Committed[Any]]:
    """The rows of the fires that were not there before, and what submitting their tasks did."""
    fires = [fire for made in plans for fire in made.fires]
    won = conn.execute(_FIRES, {"batch": encode(fires)}).all()
    due_of: dict[UUID, datetime] = {row.task_id: row.due_at for row in won if row.task_id is not None}
    tasks: list[NewTask] = [task for made in plans for task in made.tasks if task.id in due_of]
    with publishing(tracer, tasks):
        done = submit(conn, tasks)
    moves = []
    for made in plans:
        last = next((task.id for task in reversed(made.tasks) if task.id in due_of), None)
        moves.append(
            {
                "id": made.schedule.id,
                "version": made.schedule.version,
                "next_due_at": made.next_due_at,
                "fires_at": made.fires_at,
                "last_due_at": None if last is None else due_of[last],
                "last_task_id": last,
            }
        )
    conn.execute(_ADVANCE, {"batch": encode(moves)})
    return won, done


def _told(won: Sequence[Any], plans: list[Plan], next_in: float | None) -> Fired:
    jitters = {made.schedule.id: made.schedule.jitter_seconds for made in plans}
    drifts = [_drift(row, jitters) for row in won if row.task_id is not None]
    return Fired([row.outcome for row in won], drifts, next_in)


def _drift(row: Any, jitters: dict[UUID, float]) -> float:
    planned = row.due_at + jitter_of(row.schedule_id, row.due_at, jitters[row.schedule_id])
    return max(0.0, float((row.fired_at - planned).total_seconds()))
