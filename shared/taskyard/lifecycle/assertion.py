"""assert_claims: a child says again which tasks it has, after PostgreSQL forgot.

A failover may lose the newest commits, claims among them. The row is then waiting as before the claim, while
a child runs the task. `attempt` never decreases otherwise, so a waiting row whose attempt is one less than
the claim's is such a row and nothing else: asking is always harmless, whether or not there was a failover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .batch import encode


@dataclass(frozen=True, slots=True)
class Assertion:
    """A claim that a child holds; `attempt` is the number it was won with."""

    task_id: UUID
    claim: UUID
    attempt: int
    worker: str


# Also from scheduled and retrying: the promotion came moments before the claim and was lost with it.
_ASSERT = sa.text("""
WITH incoming AS (
    SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS x(
        task_id uuid, claim uuid, attempt int4, worker text)
), locked AS (
    SELECT t.id, i.claim, i.attempt, i.worker FROM task t JOIN incoming i ON i.task_id = t.id
    WHERE t.state IN ('queued','scheduled','retrying') AND t.attempt = i.attempt - 1
      AND EXISTS (SELECT FROM worker w WHERE w.id = :worker_id AND w.lost_at IS NULL AND w.stopped_at IS NULL)
    ORDER BY t.id FOR UPDATE OF t
), held AS (
    UPDATE task t SET state = 'running', attempt = l.attempt, claim = l.claim, worker_id = :worker_id,
        worker = l.worker, started_at = now(), due_at = NULL
    FROM locked l WHERE t.id = l.id
    RETURNING t.id, t.attempt
), told AS (
    INSERT INTO task_event (task_id, attempt, kind) SELECT id, attempt, 'claim_asserted' FROM held ORDER BY id
), freed AS (
    DELETE FROM unique_key u USING held h WHERE u.task_id = h.id AND u.hold = 'waiting'
)
SELECT id FROM held
""")


def assert_claims(conn: Connection, claims: Sequence[Assertion], *, worker_id: UUID) -> set[UUID]:
    """Makes running again what this living worker holds and PostgreSQL takes for waiting; returns those ids."""
    if not claims:
        return set()
    batch = encode([{"task_id": c.task_id, "claim": c.claim, "attempt": c.attempt, "worker": c.worker} for c in claims])
    return {r.id for r in conn.execute(_ASSERT, {"batch": batch, "worker_id": worker_id})}
