"""finish: the outcomes of attempts, in one statement, each write fenced by its claim id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Executable

from ..domain.tasks import Cancelled, Change, Event, Failed, Fault, Outcome, Released, RetryIn, State, Succeeded
from ..store.ledger import updates_in_order
from .batch import encode
from .committed import Committed
from .composer import Verb, along, each_by_id, incoming
from .consequences import compose_for


# Not frozen: one is made for every task, and a frozen dataclass costs several times as much to make.
@dataclass(slots=True)
class Finished:
    """One attempt's end. `run_seconds` is None for a task that never began: no attempt is recorded then.

    `ended_ago_seconds` is how long the outcome waited to be written; times are kept by PostgreSQL's clock.
    `calls_back`: False where the task is known to have no callback, `is_step` where it is known to belong to no
    workflow, `is_limited` where nothing limited it when it was claimed.
    """

    task_id: UUID
    claim: UUID
    outcome: Outcome
    run_seconds: float | None = None
    ended_ago_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    calls_back: bool = True
    is_step: bool = True
    is_limited: bool = True


# A success wins; otherwise a cancel request wins.
_IS_CANCELLED = "t.cancel_requested_at IS NOT NULL AND i.event <> 'succeed'"
_ENDED_AT = "now() - i.ended_ago_seconds * interval '1 second'"

_FINISH = Verb(
    name="finish",
    edges=along(Event.SUCCEED, Event.FAIL, Event.BACK_OFF, Event.RELEASE) + along(Event.CANCEL, out_of={State.RUNNING}),
    event=f"CASE WHEN {_IS_CANCELLED} THEN 'cancel' ELSE i.event END",
    given=incoming(
        "id uuid, claim uuid, event text, result jsonb, partial bool, error jsonb, traceback text, cause text,"
        " forced bool, delay_seconds float8, run_seconds float8, ended_ago_seconds float8, peak_memory_bytes int8"
    ),
    source=each_by_id("id", "t.claim = i.claim"),
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
_STATEMENTS = {
    flags: compose_for(_FINISH, calls_back=flags[0], is_step=flags[1], is_limited=flags[2])
    for flags in product((False, True), repeat=3)
}
# Nearly all ends: what a failure, a cancellation or a release leads to is neither planned nor set up.
_SUCCEED = replace(
    _FINISH, edges=along(Event.SUCCEED), event="", sets={**_FINISH.sets, "failures": "t.failures", "error": "NULL"}
)
# A success wins, whatever was asked of the task meanwhile, as long as the claim holds.
_SUCCEED_UNLOCKED = replace(_SUCCEED, locks={**_SUCCEED.locks, "claim": "i.claim"}, fence="t.claim = l.claim")
_SUCCESSES, _SUCCESSES_UNLOCKED = (
    compose_for(verb, calls_back=False, is_step=False, is_limited=False) for verb in (_SUCCEED, _SUCCEED_UNLOCKED)
)


def finish(conn: Connection, ends: Sequence[Finished]) -> Committed[list[Change]]:
    """Records the ends whose claim still holds; harmless when repeated (the second time wins nothing). Answers
    the changes: a task whose end was asked for may be `cancelled`, and ids that are missing were fenced off.
    """
    if not ends:
        return Committed([])
    first = {(e.task_id, e.claim): e for e in reversed(ends)}  # one end a claim, whatever a batch repeats
    return Committed.of_moves(
        conn.execute(_statement(conn, ends), {"batch": encode([_row(e) for e in first.values()])}).all()
    )


def _statement(conn: Connection, ends: Sequence[Finished]) -> Executable:
    kinds = any(e.calls_back for e in ends), any(e.is_step for e in ends), any(e.is_limited for e in ends)
    if not any(kinds) and all(type(e.outcome) is Succeeded for e in ends):
        return _SUCCESSES_UNLOCKED if updates_in_order(conn) else _SUCCESSES
    return _STATEMENTS[kinds]


def public_fault(fault: Fault) -> dict[str, Any]:
    """The `error` of a task as it is stored; `attempt` is added where it is recorded."""
    shown = {
        "code": fault.code,
        "message": fault.message,
        "type": fault.type,
        "kind": fault.kind,
        "retryable": fault.retryable,
    }
    more = {"values": fault.values, "place": fault.place}
    return shown | {name: value for name, value in more.items() if value is not None}


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
