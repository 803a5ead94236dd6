"""finish: what attempts came to, in one statement, each write fenced by its claim id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import (
    Cancelled,
    Change,
    Failed,
    Fault,
    Outcome,
    Publication,
    Released,
    RetryIn,
    State,
    Succeeded,
)
from .batch import encode


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


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch of ends won: a change per task (its state may be `cancelled` where somebody had asked
    for that), and what is to be published again. Ids that are missing were fenced off.
    """

    changes: list[Change] = field(default_factory=list)
    outbox_id: int | None = None
    publications: list[Publication] = field(default_factory=list)


# A success wins; otherwise a cancel request wins.
_FINISH = sa.text("""
WITH incoming AS (
    SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS x(
        id uuid, claim uuid, outcome text, result jsonb, partial bool, error jsonb, traceback text, cause text,
        forced bool, delay_seconds float8, run_seconds float8, ended_ago_seconds float8, peak_memory_bytes int8)
), locked AS (
    SELECT t.id, t.attempt AS n, t.worker, t.queue, i.outcome, i.result, i.partial, i.traceback, i.cause, i.forced,
        t.cancel_requested_at,
        i.error || jsonb_build_object('attempt', t.attempt) AS error, i.peak_memory_bytes, i.run_seconds,
        now() - i.ended_ago_seconds * interval '1 second' AS ended_at,
        now() + i.delay_seconds * interval '1 second' AS retry_at,
        CASE WHEN t.cancel_requested_at IS NOT NULL AND i.outcome <> 'succeeded' THEN 'cancelled'
             ELSE i.outcome END AS came_to
    FROM task t JOIN incoming i ON i.id = t.id
    WHERE t.state = 'running' AND t.claim = i.claim
    ORDER BY t.id FOR UPDATE OF t
), ended AS (
    UPDATE task t SET
        state = CASE l.came_to WHEN 'released' THEN 'queued' ELSE l.came_to END,
        claim = NULL, worker_id = NULL,
        started_at = coalesce(l.ended_at - l.run_seconds * interval '1 second', t.started_at),
        finished_at = CASE WHEN l.came_to IN ('succeeded','failed','cancelled') THEN now() END,
        due_at = CASE WHEN l.came_to = 'retrying' THEN l.retry_at END,
        run_at = CASE WHEN l.came_to = 'retrying' THEN l.retry_at ELSE t.run_at END,
        queued_at = CASE WHEN l.came_to = 'released' THEN now() ELSE t.queued_at END,
        publication = t.publication + CASE WHEN l.came_to = 'released' THEN 1 ELSE 0 END,
        failures = t.failures + CASE WHEN l.outcome IN ('failed','retrying') THEN 1 ELSE 0 END,
        result = l.result, partial = coalesce(l.partial, false),
        error = CASE WHEN l.came_to = 'released' THEN t.error ELSE l.error END
    FROM locked l WHERE t.id = l.id
    RETURNING t.id, t.name, t.queue, t.state, t.attempt, t.publication, t.workflow_id, t.unique_hold, t.finished_at
), attempts AS (
    INSERT INTO task_attempt (task_id, attempt, outcome, worker, queue, started_at, finished_at, retry_at, error,
        traceback, cause, peak_memory_bytes)
    SELECT id, n, came_to, worker, queue, ended_at - run_seconds * interval '1 second', ended_at,
        CASE WHEN came_to = 'retrying' THEN retry_at END, error, traceback, cause, peak_memory_bytes
    FROM locked WHERE run_seconds IS NOT NULL ORDER BY id
), told AS (
    INSERT INTO task_event (task_id, attempt, kind)
    SELECT id, n, CASE WHEN forced THEN 'cancel_forced' ELSE 'cancel_acknowledged' END
    FROM locked WHERE cancel_requested_at IS NOT NULL AND came_to = 'cancelled' ORDER BY id
), freed AS (
    DELETE FROM unique_key u USING ended e
    WHERE e.unique_hold IS NOT NULL AND e.finished_at IS NOT NULL AND u.task_id = e.id
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM ended WHERE state = 'queued' HAVING count(*) > 0
    RETURNING id
)
SELECT e.*, (SELECT id FROM boxed) AS outbox_id FROM ended e ORDER BY e.id
""")


def finish(conn: Connection, ends: Sequence[Finished]) -> Recorded:
    """Records the ends whose claim still holds; harmless when repeated (the second time wins nothing)."""
    if not ends:
        return Recorded()
    first = {(e.task_id, e.claim): e for e in reversed(ends)}  # one end a claim, whatever a batch repeats
    return recorded(conn.execute(_FINISH, {"batch": encode([_row(e) for e in first.values()])}).all())


_ENDED = sa.text("""
SELECT a.task_id, a.outcome FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int4[])) AS x(id, attempt)
JOIN task_attempt a ON a.task_id = x.id AND a.attempt = x.attempt
WHERE a.outcome IN ('succeeded','failed','retrying','cancelled')
""")


def ended(conn: Connection, attempts: dict[UUID, int]) -> dict[UUID, State]:
    """What those of the attempts (number by task) came to whose own end is recorded: neither lost nor given back. For
    who repeats a call whose answer got lost.
    """
    values = {"ids": list(attempts), "attempts": list(attempts.values())}
    return {r.task_id: State(r.outcome) for r in conn.execute(_ENDED, values)}


def recorded(rows: Sequence[Any]) -> Recorded:
    """Rows of (id, name, queue, state, attempt, publication, workflow_id, outbox_id) as changes and
    publications.
    """
    changes = [Change(r.id, r.name, r.queue, State(r.state), r.attempt, r.workflow_id) for r in rows]
    again = [Publication(r.id, r.queue, r.publication) for r in rows if r.state == State.QUEUED]
    return Recorded(changes, rows[0].outbox_id if rows else None, again)


def public_fault(fault: Fault) -> dict[str, Any]:
    """The `error` of a task as callers see it; `attempt` is added where it is recorded."""
    return {"code": fault.code, "message": fault.message, "type": fault.type, "retryable": fault.retryable}


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
            row |= {"outcome": "succeeded", "result": result, "partial": partial}
        case Failed(fault):
            row |= {"outcome": "failed", "error": public_fault(fault), "traceback": fault.traceback}
        case RetryIn(fault, delay):
            row |= {"outcome": "retrying", "error": public_fault(fault), "traceback": fault.traceback}
            row["delay_seconds"] = delay.total_seconds()
        case Cancelled(message, forced):
            row |= {"outcome": "cancelled", "cause": message, "forced": forced}
        case Released(cause):
            row |= {"outcome": "released", "cause": cause}
    return row
