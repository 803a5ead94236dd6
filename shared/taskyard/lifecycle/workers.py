"""workers: which of them live, and which claims are theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects.postgresql import insert

from ..domain.processes import ProcessRange
from ..store.tables.fleet import queue, worker
from ..store.what_runs import LIVE_QUEUES
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
    """What a supervisor says of itself at each beat; `begun` are the tasks that run now, `processes` is the most that
    it may start. `processes_set` and `restarted_at` are what was asked of it and is done. `attempts`: how many ended
    since its start, by their outcome; `load_average`: of its host."""

    worker_id: UUID
    state: str = "running"
    memory_bytes: int | None = None
    children: Sequence[dict[str, Any]] = field(default_factory=list)
    begun: Sequence[UUID] = ()
    attempts: Mapping[str, int] = field(default_factory=dict)
    load_average: Sequence[float] = ()
    processes: int | None = None
    processes_set: str | None = None
    restarted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a worker and not done yet (`control`). `restart_at`: the time at which it was asked."""

    drain: bool = False
    restart_at: datetime | None = None
    processes: ProcessRange | None = None


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
UPDATE worker SET beat_at = now(), memory_bytes = :memory_bytes,
    children = CAST(:children AS jsonb), begun = :begun,
    attempts = CAST(:attempts AS jsonb), load_average = :load_average,
    state = CASE WHEN drain_asked_at IS NULL THEN :state ELSE 'draining' END,
    processes = coalesce(CAST(:processes AS integer), processes),
    processes_asked = nullif(processes_asked, CAST(:processes_set AS text)),
    restart_asked_at = nullif(restart_asked_at, CAST(:restarted_at AS timestamptz))
WHERE id = :worker_id AND lost_at IS NULL AND stopped_at IS NULL
RETURNING drain_asked_at, restart_asked_at, processes_asked
""")


def beat(conn: Connection, beat: Beat) -> Asked | None:
    """What is asked of the worker. None where it was given up (or never known): it must end its children and register
    anew."""
    values = {
        **asdict(beat),
        "children": encode(beat.children),
        "begun": list(beat.begun),
        "attempts": orjson.dumps(dict(beat.attempts)).decode() if beat.attempts else None,
        "load_average": list(beat.load_average) or None,
    }
    return _asked(conn.execute(_BEAT, values).first())


_ASKED = sa.text("""
SELECT drain_asked_at, restart_asked_at, processes_asked FROM worker
WHERE id = :id AND lost_at IS NULL AND stopped_at IS NULL
""")


def asked(conn: Connection, worker_id: UUID) -> Asked | None:
    """The same between two beats."""
    return _asked(conn.execute(_ASKED, {"id": worker_id}).first())


def _asked(row: Row[Any] | None) -> Asked | None:
    if row is None:
        return None
    processes = ProcessRange.parse(row.processes_asked) if row.processes_asked else None
    return Asked(row.drain_asked_at is not None, row.restart_asked_at, processes)


def retire(conn: Connection, worker_id: UUID) -> None:
    """The worker stopped in order. Rows it still holds are orphans from now on."""
    conn.execute(
        sa.update(worker)
        .where(worker.c.id == worker_id, worker.c.stopped_at.is_(None))
        .values(stopped_at=sa.func.now(), state="stopped", begun=[], children=[])
    )


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
