"""assert_claims: a child says again which tasks it has, after PostgreSQL forgot.

A failover may lose the newest commits, claims among them. `attempt` never decreases otherwise, so a waiting row whose
attempt is one less than the claim's is such a row and nothing else: asking is always harmless.
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
from .composer import Verb, along, incoming
from .consequences import compose


@dataclass(frozen=True, slots=True)
class Assertion:
    """A claim that a child holds; `attempt` is the number it was won with."""

    task_id: UUID
    claim: UUID
    attempt: int
    worker: str


# Also from scheduled and retrying: the promotion came moments before the claim and was lost with it.
_ASSERT = compose(
    Verb(
        name="assert_claims",
        edges=along(Event.ASSERT),
        given=incoming("task_id uuid, claim uuid, attempt int4, worker text"),
        source="task t JOIN incoming i ON i.task_id = t.id",
        where=f"t.attempt = i.attempt - 1 AND {WORKER_LIVES}",
        locks={"claim": "i.claim", "attempt": "i.attempt", "worker": "i.worker"},
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
    """Makes running again what this living worker holds and PostgreSQL takes for waiting; answers those ids."""
    if not claims:
        return Committed(set())
    rows = conn.execute(_ASSERT, {"batch": encode(claims), "worker_id": worker_id}).all()
    return Committed.of_rows(rows, {r.id for r in rows})
