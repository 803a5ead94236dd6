"""claim: queued -> running, for a whole fetch at once, durable before any thread sees a task.

put_off: queued -> scheduled, for tasks whose type no worker here knows. They would spin between Redis and the ledger
while a rolling update is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..backoff import backoff_sql
from ..domain.tasks import Event
from . import claimable, committed
from .committed import Committed
from .composer import Verb, along
from .consequences import compose


# Not frozen: one is made for every task, and a frozen dataclass costs several times as much to make.
@dataclass(slots=True, eq=False)
class Claimed:
    """A task won by this claim, with all that its run needs; `waited_seconds` is its time in the queue,
    `life_left_seconds` the time until it expires."""

    id: UUID
    claim: UUID
    name: str
    queue: str
    params: dict[str, Any]
    version: int
    attempt: int
    failures: int
    max_attempts: int
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    waited_seconds: float
    tags: list[str]
    request_id: str | None
    traceparent: str | None
    submitted_by: str | None
    allowed_queues: list[str] | None
    workflow_id: UUID | None
    life_left_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A queued task that was not claimed; `reason` is one of `claimable.CONDITIONS`, or `open` where nothing speaks
    against it any more: its queue was resumed at this moment.
    """

    id: UUID
    queue: str
    reason: str


_UNCHANGED = (
    *("params", "version", "failures", "max_attempts", "soft_timeout_seconds", "hard_timeout_seconds", "tags"),
    *("request_id", "traceparent", "submitted_by", "allowed_queues"),
)
# What a run needs beside the columns that every verb answers.
_FOR_THE_RUN = {
    **{column: f"t.{column}" for column in _UNCHANGED},
    "waited_seconds": "CAST(extract(epoch FROM now() - greatest(t.queued_at, t.run_at)) AS float8)",
    "life_left_seconds": "CAST(extract(epoch FROM t.expires_at - now()) AS float8)",
}
_FIELDS = ("id", "name", "queue", "attempt", "workflow_id", *_FOR_THE_RUN)

# `t.claim = :claim OR`: a COMMIT whose answer got lost is tried again, and must find its own rows once more, even
# where the queue was paused in between.
_CLAIM = compose(
    Verb(
        name="claim",
        edges=along(Event.CLAIM),
        where=f"(t.claim = :claim OR (t.state = 'queued' AND {claimable.FIRST_TIME})) AND {claimable.EVERY_TIME}"
        " AND t.id = ANY(:ids)",
        sets={
            "attempt": "t.attempt + CASE WHEN l.before = 'queued' THEN 1 ELSE 0 END",
            "claim": ":claim",
            "worker_id": ":worker_id",
            "worker": ":worker",
            "started_at": "now()",
        },
        returns=_FOR_THE_RUN,
    )
)


def claim(
    conn: Connection,
    ids: Sequence[UUID],
    *,
    claim: UUID,
    worker_id: UUID,
    worker: str,
    types: Sequence[str],
    alone: bool = False,
) -> Committed[list[Claimed]]:
    """Claims those of the tasks that are claimable (see `claimable`). A suspect is claimed only where it runs `alone`.

    Safe to repeat with the same `claim` id. What is missing from the answer was not won (see `refusals`).
    """
    values = {
        "ids": list(ids),
        "claim": claim,
        "worker_id": worker_id,
        "worker": worker,
        "types": list(types),
        "alone": alone,
    }
    rows = conn.execute(_CLAIM, values).all()
    won = [Claimed(claim=claim, **{column: getattr(r, column) for column in _FIELDS}) for r in rows]
    return committed.of_rows(rows, won)


_REFUSED = sa.text(f"""
SELECT * FROM (
    SELECT t.id, t.queue, {claimable.REFUSAL} AS reason FROM task t WHERE t.id = ANY(:ids) AND t.state = 'queued'
) refused WHERE reason <> 'expired'
""")  # noqa: S608 constants only


def refusals(
    conn: Connection, ids: Sequence[UUID], *, types: Sequence[str], worker_id: UUID | None = None
) -> list[Refusal]:
    """Why queued tasks among `ids` were not won. Not listed are tasks that are not queued (any more), and expired ones,
    which the scheduler ends.
    """
    values = {"ids": list(ids), "types": list(types), "worker_id": worker_id, "alone": False}
    return [Refusal(r.id, r.queue, r.reason) for r in conn.execute(_REFUSED, values)]


_SUSPECTS = sa.text(f"""
SELECT t.id FROM task t
WHERE t.queue = ANY(:queues) AND t.state = 'queued' AND t.suspicions > 0 AND t.finished_at IS NULL
  AND {claimable.NOW}
ORDER BY t.id LIMIT :limit
""")  # noqa: S608 constants only


def suspects(
    conn: Connection, queues: Sequence[str], *, types: Sequence[str], worker_id: UUID | None = None, limit: int = 10
) -> list[UUID]:
    """Claimable tasks that have to run alone, the oldest first: the ledger is asked for them, not Redis."""
    values = {"queues": list(queues), "types": list(types), "worker_id": worker_id, "alone": True, "limit": limit}
    return list(conn.scalars(_SUSPECTS, values))


_UNTIL = """to_char(d.due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_PUT_OFF = compose(
    Verb(
        name="put_off",
        edges=along(Event.PUT_OFF),
        source=f"""task t
    CROSS JOIN LATERAL (SELECT now() + {backoff_sql("t.put_offs", first=5, longest=300)} AS due) d""",
        where="t.id = ANY(:ids)",
        locks={"due": "d.due", "note": f"jsonb_build_object('reason', CAST(:reason AS text), 'until', {_UNTIL})"},
        sets={"put_offs": "t.put_offs + 1", "queued_at": "NULL"},
    )
)


def put_off(conn: Connection, ids: Sequence[UUID], *, reason: str) -> Committed[None]:
    """Queued tasks become due after a back-off of 5 to 300 s."""
    return committed.of_rows(conn.execute(_PUT_OFF, {"ids": list(ids), "reason": reason}).all(), None)
