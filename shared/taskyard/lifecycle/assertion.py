"""assert_claims: a child says again which tasks it has, after PostgreSQL forgot.

A failover may lose the newest commits, claims among them. The row is then as it was before the claim, while a child
runs the task: waiting, or running under an earlier claim whose release or retry was lost as well. `attempt` never
decreases otherwise, so a live row with a lower attempt than the claim's is such a row and nothing else: asking is
always harmless, whether or not there was a failover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import Event
from .batch import encode
from .claim import WORKER_LIVES
from .committed import Committed
from .composer import Verb, along, each_by_id
from .consequences import compose


@dataclass(frozen=True, slots=True)
class Assertion:
    """A claim that a child holds; `attempt` is the number it was won with."""

    task_id: UUID
    claim: UUID
    attempt: int
    worker: str


# Also from scheduled, retrying and running: what came moments before the claim was lost with it. Of several claims of
# one task the newest is the one that counts; a child may still run what was fenced off.
_ASSERT = compose(
    Verb(
        name="assert_claims",
        edges=along(Event.ASSERT),
        given="""
incoming AS (
    SELECT DISTINCT ON (task_id) * FROM json_to_recordset(CAST(:batch AS json)) AS x(
        task_id uuid, claim uuid, attempt int4, worker text)
    ORDER BY task_id, attempt DESC
)""",
        source=each_by_id("task_id", "t.attempt < i.attempt"),
        where=WORKER_LIVES,
        locks={
            "claim": "i.claim",
            "attempt": "i.attempt",
            "worker": "i.worker",
            "note": "jsonb_build_object('from_state', t.state, 'from_attempt', t.attempt)",
        },
        sets={
            "attempt": "l.attempt",
            "claim": "l.claim",
            "worker_id": ":worker_id",
            "worker": "l.worker",
            "started_at": "now()",
        },
    )
)


def assert_claims(conn: Connection, claims: Sequence[Assertion], *, worker_id: UUID) -> Committed[set[UUID]]:
    """Makes running again what this living worker holds and PostgreSQL forgot; answers those ids."""
    if not claims:
        return Committed(set())
    rows = conn.execute(_ASSERT, {"batch": encode(claims), "worker_id": worker_id}).all()
    return Committed.of_rows(rows, {r.id for r in rows})
