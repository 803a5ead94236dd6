"""record: the ends of what a child ran, also where PostgreSQL forgot its claims or an answer was lost.

A use case over `finish` and `assert_claims`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Change, State
from .assertion import Assertion, assert_claims
from .committed import Committed, together
from .finish import Finished, finish

# OFFSET 0: see `verbs.each_by_id`.
_ENDED = sa.text("""
SELECT t.id, t.name, t.queue, a.outcome AS state, a.attempt, t.publication, t.workflow_id, NULL AS event,
    NULL AS outbox_id, NULL AS wakes
FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int4[])) AS x(id, attempt)
CROSS JOIN LATERAL (SELECT * FROM task_attempt a WHERE a.task_id = x.id AND a.attempt = x.attempt OFFSET 0) a
CROSS JOIN LATERAL (SELECT * FROM task t WHERE t.id = x.id OFFSET 0) t
WHERE a.outcome IN ('succeeded','failed','retrying','cancelled')
""")


def _ended(conn: Connection, attempts: dict[UUID, int]) -> Committed[list[Change]]:
    """How those of the attempts (number by task) ended that recorded their own end: neither lost nor given back. For
    callers that repeat a call whose answer got lost.
    """
    values = {"ids": list(attempts), "attempts": list(attempts.values())}
    return Committed.of_moves(conn.execute(_ENDED, values).all())


@dataclass(slots=True)
class Recorded:
    """`states`: what each task that was won is in now. `asserted`: so many claims had been forgotten."""

    states: dict[UUID, State]
    asserted: int = 0


def record(
    conn: Connection,
    ends: Sequence[Finished],
    held: Callable[[], dict[UUID, Assertion]],
    *,
    worker_id: UUID,
    is_repeat: bool = False,
) -> Committed[Recorded]:
    """Finishes what the claims still hold. `held` gives the claims of the tasks, to be asserted where PostgreSQL lost
    them. `is_repeat`: the answer to the same call got lost, and what that one recorded counts as won.
    """
    done = [finish(conn, ends)]
    missing = _missing(ends, done)
    assertion = Committed[set[UUID]](set())
    claimed: dict[UUID, Assertion] = {}
    if missing:
        claimed = held()
        claims = [claimed[end.task_id] for end in missing if end.task_id in claimed]
        assertion = assert_claims(conn, claims, worker_id=worker_id)
        done.append(finish(conn, [end for end in missing if end.task_id in assertion.answer]))
        missing = _missing(missing, done)
    if missing and is_repeat:
        ran = [e.task_id for e in missing if e.run_seconds is not None and e.task_id in claimed]
        done.append(_ended(conn, {task_id: claimed[task_id].attempt for task_id in ran}))
    states = {change.task_id: change.state for part in done for change in part.changes}
    return together([assertion, *done], Recorded(states, len(assertion.answer)))


def _missing(ends: Sequence[Finished], done: Sequence[Committed[list[Change]]]) -> list[Finished]:
    """The ends that were not won."""
    won = {change.task_id for part in done for change in part.changes}
    return [end for end in ends if end.task_id not in won]
