"""record: the ends of what a child ran, also where PostgreSQL forgot its claims or an answer was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import Change, State
from .assertion import Assertion, assert_claims
from .committed import Committed, together
from .finish import Finished, ended, finish


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
    done: list[Committed[list[Change]]] = [finish(conn, ends)]
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
        done.append(ended(conn, {task_id: claimed[task_id].attempt for task_id in ran}))
    states = {change.task_id: change.state for part in done for change in part.changes}
    return together([assertion, *done], Recorded(states, len(assertion.answer)))


def _missing(ends: Sequence[Finished], done: Sequence[Committed[list[Change]]]) -> list[Finished]:
    """The ends that were not won."""
    won = {change.task_id for part in done for change in part.changes}
    return [end for end in ends if end.task_id not in won]
