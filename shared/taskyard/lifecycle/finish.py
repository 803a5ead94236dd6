"""finish: the outcomes of attempts, in one statement, each write fenced by its claim id.

record: the same for what a child ran, also where PostgreSQL forgot its claims or an answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Cancelled, Change, Event, Failed, Fault, Outcome, Released, RetryIn, State, Succeeded
from .assertion import Assertion, assert_claims
from .batch import encode
from .committed import Committed, together
from .composer import Verb, along, incoming
from .consequences import compose


@dataclass(frozen=True, slots=True)
class Finished:
    """One attempt's end. `run_seconds` is None for a task that never began: no attempt is recorded then.

    `ended_ago_seconds` is how long the outcome waited to be written; times are kept by PostgreSQL's clock.
    """

    task_id: UUID
    claim: UUID
    outcome: Outcome
    run_seconds: float | None = None
    ended_ago_seconds: float = 0.0
    peak_memory_bytes: int | None = None


# A success wins; otherwise a cancel request wins.
_IS_CANCELLED = "t.cancel_requested_at IS NOT NULL AND i.event <> 'succeed'"
_ENDED_AT = "now() - i.ended_ago_seconds * interval '1 second'"

_FINISH = compose(
    Verb(
        name="finish",
        edges=along(Event.SUCCEED, Event.FAIL, Event.BACK_OFF, Event.RELEASE)
        + along(Event.CANCEL, out_of={State.RUNNING}),
        event=f"CASE WHEN {_IS_CANCELLED} THEN 'cancel' ELSE i.event END",
        given=incoming(
            "id uuid, claim uuid, event text, result jsonb, partial bool, error jsonb, traceback text, cause text,"
            " forced bool, delay_seconds float8, run_seconds float8, ended_ago_seconds float8, peak_memory_bytes int8"
        ),
        source="task t JOIN incoming i ON i.id = t.id",
        where="t.claim = i.claim",
        locks={
            "result": "i.result",
            "partial": "coalesce(i.partial, false)",
            "due": "now() + i.delay_seconds * interval '1 second'",
            "began_at": f"{_ENDED_AT} - i.run_seconds * interval '1 second'",
            "ended_at": _ENDED_AT,
            "attempt_error": "i.error || jsonb_build_object('attempt', t.attempt)",
            "traceback": "i.traceback",
            "cause": "i.cause",
            "peak_memory_bytes": "i.peak_memory_bytes",
            "cancel_kind": "CASE WHEN t.cancel_requested_at IS NULL THEN NULL WHEN i.forced THEN 'cancel_forced'"
            " ELSE 'cancel_acknowledged' END",
        },
        sets={
            "started_at": "coalesce(l.began_at, t.started_at)",
            "failures": "t.failures + CASE WHEN l.attempt_error IS NOT NULL THEN 1 ELSE 0 END",
            "result": "l.result",
            "partial": "l.partial",
            "error": "CASE WHEN l.event = 'release' THEN t.error ELSE l.attempt_error END",
        },
    )
)


def finish(conn: Connection, ends: Sequence[Finished]) -> Committed[list[Change]]:
    """Records the ends whose claim still holds; harmless when repeated (the second time wins nothing). Answers
    the changes: a task whose end was asked for may be `cancelled`, and ids that are missing were fenced off.
    """
    if not ends:
        return Committed([])
    first = {(e.task_id, e.claim): e for e in reversed(ends)}  # one end a claim, whatever a batch repeats
    return Committed.of_moves(conn.execute(_FINISH, {"batch": encode([_row(e) for e in first.values()])}).all())


_ENDED = sa.text("""
SELECT t.id, t.name, t.queue, a.outcome AS state, a.attempt, t.publication, t.workflow_id, NULL AS event,
    NULL AS outbox_id
FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int4[])) AS x(id, attempt)
JOIN task_attempt a ON a.task_id = x.id AND a.attempt = x.attempt
JOIN task t ON t.id = a.task_id
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


def public_fault(fault: Fault) -> dict[str, Any]:
    """The `error` of a task as it is stored; `attempt` is added where it is recorded."""
    shown = {
        "code": fault.code,
        "message": fault.message,
        "type": fault.type,
        "kind": fault.kind,
        "retryable": fault.retryable,
    }
    return shown if fault.values is None else {**shown, "values": fault.values}


def _row(end: Finished) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": end.task_id,
        "claim": end.claim,
        "run_seconds": end.run_seconds,
        "ended_ago_seconds": end.ended_ago_seconds,
        "peak_memory_bytes": end.peak_memory_bytes,
    }
    match end.outcome:
        case Succeeded(result, partial):
            row |= {"event": "succeed", "result": result, "partial": partial}
        case Failed(fault):
            row |= {"event": "fail", "error": public_fault(fault), "traceback": fault.traceback}
        case RetryIn(fault, delay):
            row |= {"event": "back_off", "error": public_fault(fault), "traceback": fault.traceback}
            row["delay_seconds"] = delay.total_seconds()
        case Cancelled(message, forced):
            row |= {"event": "cancel", "cause": message, "forced": forced}
        case Released(cause):
            row |= {"event": "release", "cause": cause}
    return row
