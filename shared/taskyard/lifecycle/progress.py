"""progress: how far running tasks are, and the lines they log; fenced like every other write of an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.callbacks import PROGRESS
from .batch import encode, storable, storable_text
from .committed import Committed
from .composer import ANSWERED
from .verbs import STATE_BY_ID


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is; `total` is None where it isn't known. Only the newest counts."""

    task_id: UUID
    claim: UUID
    current: float
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the timeline (`kind` is `stage` or `log`); none may be dropped. `ago_seconds`: how long it waited to be
    written.
    """

    task_id: UUID
    claim: UUID
    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    ago_seconds: float = 0.0


# Of the tasks whose claim holds, what live events tell of them.
_ANSWER = ", ".join((*ANSWERED, "NULL AS event", "NULL AS outbox_id", "NULL AS wakes"))
_LIVE = ", ".join(f"t.{column}" for column in ANSWERED)
# OFFSET 0: see `verbs.each_by_id`.
_HELD = f"(SELECT * FROM task t WHERE t.id = x.task_id AND t.claim = x.claim AND {STATE_BY_ID} = 'running' OFFSET 0)"  # noqa: S608 constants only

_PROGRESS = sa.text(f"""
WITH live AS (
    SELECT {_LIVE}, t.callback, x.current, x.total, x.message
    FROM json_to_recordset(CAST(:batch AS json))
        AS x(task_id uuid, claim uuid, current float8, total float8, message text)
    CROSS JOIN LATERAL {_HELD} t
), kept AS (
    INSERT INTO task_progress (task_id, attempt, current, total, message)
    SELECT id, attempt, coalesce(current, 0), total, message FROM live ORDER BY id
    ON CONFLICT (task_id) DO UPDATE SET
        attempt = excluded.attempt, current = excluded.current, total = excluded.total, message = excluded.message,
        updated_at = now()
)
SELECT {_ANSWER}, coalesce(callback -> 'on' ? '{PROGRESS}', false) AS is_called FROM live
""")  # noqa: S608 constants only

_NOTES = sa.text(f"""
WITH live AS (
    SELECT {_LIVE}, x.kind, x.data, x.ago_seconds, x.n
    FROM ROWS FROM (json_to_recordset(CAST(:batch AS json)) AS (
        task_id uuid, claim uuid, kind text, data jsonb, ago_seconds float8)) WITH ORDINALITY
        AS x(task_id, claim, kind, data, ago_seconds, n)
    CROSS JOIN LATERAL {_HELD} t
), kept AS (
    INSERT INTO task_event (task_id, attempt, at, kind, data)
    SELECT id, attempt, now() - ago_seconds * interval '1 second', kind, data FROM live ORDER BY n
)
SELECT DISTINCT {_ANSWER} FROM live
""")  # noqa: S608 constants only


def progress(conn: Connection, items: Sequence[Progress]) -> Committed[dict[UUID, bool]]:
    """Keeps the newest progress of each task (at most one item a task); answers the tasks whose claim holds, and
    whether a receiver is told of their progress."""
    if not items:
        return Committed({})
    # A message that cannot be stored, or a number that is none, would fail the progress of other tasks.
    batch = encode([replace(i, message=storable_text(i.message)) for i in items])
    rows = conn.execute(_PROGRESS, {"batch": batch}).all()
    return Committed.of_rows(rows, {row.id: row.is_called for row in rows})


def annotate(conn: Connection, notes: Sequence[Note]) -> Committed[None]:
    """Appends to the timelines, in the order given."""
    if not notes:
        return Committed(None)
    batch = encode([replace(n, data=storable(n.data)) for n in notes])
    return Committed.of_rows(conn.execute(_NOTES, {"batch": batch}).all(), None)
