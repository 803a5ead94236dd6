"""workers: which of them live, and which claims are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from ..store.tables.fleet import queue, worker
from .batch import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """The columns of its row."""

    id: UUID
    name: str
    host: str
    pid: int
    version: str
    queues: Sequence[str]
    task_types: Sequence[str]
    processes: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a supervisor says of itself at each beat; `begun` are the tasks that run now."""

    worker_id: UUID
    state: str = "running"
    memory_bytes: int | None = None
    children: Sequence[dict[str, Any]] = field(default_factory=list)
    begun: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A running row that the ledger holds for a worker."""

    task_id: UUID
    claim: UUID
    queue: str
    cancel_requested: bool = False


def register(conn: Connection, info: WorkerInfo) -> None:
    """Makes the worker known; harmless when repeated."""
    conn.execute(insert(worker).values(**asdict(info)).on_conflict_do_nothing(index_elements=[worker.c.id]))


_BEAT = sa.text("""
UPDATE worker SET beat_at = now(), state = :state, memory_bytes = :memory_bytes,
    children = CAST(:children AS jsonb), begun = :begun
WHERE id = :worker_id AND lost_at IS NULL AND stopped_at IS NULL
""")


def beat(conn: Connection, beat: Beat) -> bool:
    """False where the worker was given up (or never known): it must end its children and register anew."""
    values = {**asdict(beat), "children": encode(beat.children), "begun": list(beat.begun)}
    return conn.execute(_BEAT, values).rowcount == 1


def retire(conn: Connection, worker_id: UUID) -> None:
    """The worker stopped in order. Rows it still holds are orphans from now on."""
    conn.execute(
        sa.update(worker)
        .where(worker.c.id == worker_id, worker.c.stopped_at.is_(None))
        .values(stopped_at=sa.func.now(), state="stopped", begun=[], children=[])
    )


# The queues in which something is live, with one step in ix_task_live each: the settings may not name all of them.
LIVE_QUEUES = """
WITH RECURSIVE q AS (
    (SELECT queue AS name FROM task WHERE finished_at IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM task t WHERE t.finished_at IS NULL AND t.queue > q.name ORDER BY t.queue LIMIT 1)
    FROM q WHERE q.name IS NOT NULL
)
"""

_HELD = sa.text(f"""
{LIVE_QUEUES}
SELECT t.id, t.claim, t.queue, t.cancel_requested_at IS NOT NULL AS cancel_requested FROM q CROSS JOIN LATERAL (
    SELECT id, claim, queue, worker_id, cancel_requested_at FROM task
    WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
) t WHERE t.worker_id = :worker_id
""")  # noqa: S608 constants only


def held(conn: Connection, worker_id: UUID) -> list[Held]:
    """The running rows of this worker, to be compared with the claims its children hold."""
    return [Held(r.id, r.claim, r.queue, r.cancel_requested) for r in conn.execute(_HELD, {"worker_id": worker_id})]


def ensure_queues(conn: Connection, names: Sequence[str]) -> None:
    """Makes the rows of the queues that are configured; what is set on them (paused, limits) stays."""
    if names:
        conn.execute(insert(queue).values([{"name": n} for n in sorted(set(names))]).on_conflict_do_nothing())
