"""progress: how far running tasks are, and what they say; fenced like every other write of an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .batch import encode, storable, storable_text


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest standing of a task; `total` is None where it isn't known. Older ones may be dropped."""

    task_id: UUID
    claim: UUID
    current: float
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the timeline (`kind` is `stage` or `log`); none may be dropped. `ago_seconds`: how long it
    waited.
    """

    task_id: UUID
    claim: UUID
    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    ago_seconds: float = 0.0


_PROGRESS = sa.text("""
INSERT INTO task_progress AS p (task_id, attempt, current, total, message)
SELECT t.id, t.attempt, coalesce(x.current, 0), x.total, x.message
FROM json_to_recordset(CAST(:batch AS json)) AS x(task_id uuid, claim uuid, current float8, total float8, message text)
JOIN task t ON t.id = x.task_id AND t.claim = x.claim AND t.state = 'running'
ORDER BY t.id
ON CONFLICT (task_id) DO UPDATE SET
    attempt = excluded.attempt, current = excluded.current, total = excluded.total, message = excluded.message,
    updated_at = now()
RETURNING p.task_id
""")

_NOTES = sa.text("""
INSERT INTO task_event (task_id, attempt, at, kind, data)
SELECT t.id, t.attempt, now() - x.ago_seconds * interval '1 second', x.kind, x.data
FROM ROWS FROM (json_to_recordset(CAST(:batch AS json)) AS (
    task_id uuid, claim uuid, kind text, data jsonb, ago_seconds float8)) WITH ORDINALITY
    AS x(task_id, claim, kind, data, ago_seconds, n)
JOIN task t ON t.id = x.task_id AND t.claim = x.claim AND t.state = 'running'
ORDER BY x.n
""")


def progress(conn: Connection, items: Sequence[Progress]) -> set[UUID]:
    """Keeps the newest progress of each task (at most one item a task); returns the tasks whose claim
    holds.
    """
    if not items:
        return set()
    # A message that cannot be stored, or a number that is none, would fail the progress of strangers.
    batch = encode([asdict(replace(i, message=storable_text(i.message))) for i in items])
    return {r.task_id for r in conn.execute(_PROGRESS, {"batch": batch})}


def annotate(conn: Connection, notes: Sequence[Note]) -> None:
    """Appends to the timelines, in the order given."""
    if notes:
        batch = encode([asdict(replace(n, data=storable(n.data))) for n in notes])
        conn.execute(_NOTES, {"batch": batch})
