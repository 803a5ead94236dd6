"""Workflows: started, cancelled, run again, extended.

What a step's end means for the others stands in steps.py, how the leader cancels what a failure ends in sweeps.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.errors import TaskError
from ..domain.new_tasks import NewTask
from ..domain.tasks import FINAL, Event
from ..domain.workflows import MAX_NEEDS, MAX_STEPS, FlowState, NewStep, NewWorkflow
from ..store import audit
from ..store.audit import Action, Actor
from .batch import encode
from .committed import Committed, together
from .composer import Verb, along
from .consequences import compose
from .submit import SUBMIT, SubmittedTask, given, written

_PAGE = 1000

# A step that waits has no life yet, unless its end was given as a time.
_ENTER = compose(
    replace(
        SUBMIT,
        name="submit_steps",
        edges=along(Event.SUBMIT, Event.POSTPONE, Event.BLOCK, out_of={None}),
        given=given(" WHEN x.pending_needs > 0 THEN 'block'", ", pending_needs int4"),
        sets={
            **SUBMIT.sets,
            "expires_at": "CASE WHEN l.event = 'block' THEN l.expires_at"
            " ELSE coalesce(l.expires_at, l.due + l.life_seconds * interval '1 second') END",
        },
    )
)
_FLOW = sa.text("""
INSERT INTO workflow (id, name, on_failure, queues, callback, request_id, traceparent, submitted_by, allowed_queues,
    state, steps)
VALUES (:id, :name, :on_failure, :queues, CAST(:callback AS jsonb), :request_id, :traceparent, :submitted_by,
    :allowed_queues, 'running', :steps)
RETURNING created_at
""")
_STEPS = sa.text("""
INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, optional, needs, leads_to, refs, run_at,
    delay_seconds, expires_at, life_seconds)
SELECT task_id, workflow_id, name, cardinality(needs), optional, needs, leads_to, refs, run_at, delay_seconds,
    expires_at, life_seconds
FROM json_to_recordset(CAST(:batch AS json)) AS x(task_id uuid, workflow_id uuid, name text, optional bool,
    needs uuid[], leads_to uuid[], refs jsonb, run_at timestamptz, delay_seconds float8, expires_at timestamptz,
    life_seconds float8)
ON CONFLICT (task_id) DO NOTHING RETURNING task_id
""")
_TELL = sa.text("""
INSERT INTO workflow_event (workflow_id, kind, data) VALUES (:id, :kind, CAST(:data AS jsonb))
""")


def start(conn: Connection, flow: NewWorkflow) -> Committed[list[SubmittedTask]]:
    """Writes the workflow; its steps without needs are queued. In a transaction of the caller's."""
    values = {
        **{name: getattr(flow, name) for name in ("id", "name", "request_id", "traceparent", "submitted_by")},
        "on_failure": str(flow.on_failure),
        "allowed_queues": None if flow.allowed_queues is None else list(flow.allowed_queues),
        "queues": sorted({step.task.queue for step in flow.steps}),
        "callback": None if flow.callback is None else encode([flow.callback])[1:-1],
        "steps": len(flow.steps),
    }
    conn.execute(_FLOW, values)
    parts = []
    for start_at in range(0, len(flow.steps), _PAGE):
        page = flow.steps[start_at : start_at + _PAGE]
        parts.append(enter(conn, page))
    return together(parts, [task for part in parts for task in part.answer])


def enter(conn: Connection, steps: Sequence[NewStep]) -> Committed[list[SubmittedTask]]:
    """Writes steps of a workflow, and their tasks."""
    conn.execute(_STEPS, {"batch": encode([_step_row(step) for step in steps])})
    tasks = [step.task for step in steps]
    rows = [{**_as_row(step.task), "pending_needs": len(step.needs)} for step in steps]
    return written(conn, tasks, conn.execute(_ENTER, {"batch": encode(rows)}).all())


def _as_row(task: NewTask) -> dict[str, Any]:
    return {name: getattr(task, name) for name in NewTask.__dataclass_fields__}


def _step_row(step: NewStep) -> dict[str, Any]:
    task = step.task
    return {
        "task_id": task.id,
        "workflow_id": task.workflow_id,
        "name": step.name,
        "optional": step.optional,
        "needs": step.needs,
        "leads_to": step.leads_to,
        "refs": [asdict(taken) for taken in step.takes] or None,
        "run_at": task.run_at,
        "delay_seconds": task.delay_seconds,
        "expires_at": task.expires_at,
        "life_seconds": task.life_seconds,
    }


_REQUEST_CANCEL = sa.text("""
UPDATE workflow w SET cancel_requested_at = coalesce(l.cancel_requested_at, now()), marks = w.marks + 1
FROM (SELECT id, cancel_requested_at FROM workflow WHERE id = :id FOR UPDATE) l
WHERE w.id = l.id AND w.finished_at IS NULL RETURNING w.name, l.cancel_requested_at IS NOT NULL AS is_repeated
""")
_STATE = sa.text("SELECT state FROM workflow WHERE id = :id")


def cancel_workflow(conn: Connection, workflow_id: UUID, *, by: Actor) -> Committed[FlowState | None]:
    """No further step is queued from here on, and the leader cancels those that have not ended; one that was queued
    may still begin before. Answers the state that was found, None where there is no such workflow. A request that is
    repeated is recorded once."""
    found = conn.execute(_REQUEST_CANCEL, {"id": workflow_id}).first()
    if found is None:
        state = conn.scalar(_STATE, {"id": workflow_id})
        return Committed(None if state is None else FlowState(state))
    if not found.is_repeated:
        audit.record(conn, by, Action.WORKFLOW_CANCEL, workflow_id, name=found.name)
        _tell(conn, workflow_id, "cancel_requested", by=by.name)
    return Committed(FlowState.RUNNING, wakes_scheduler=True)


def _tell(conn: Connection, workflow_id: UUID, kind: str, **data: Any) -> None:
    conn.execute(_TELL, {"id": workflow_id, "kind": kind, "data": encode([data])[1:-1]})


_AGAIN = compose(
    Verb(
        name="retry_steps",
        edges=along(Event.RETRY) + along(Event.BLOCK, out_of=FINAL),
        event="CASE WHEN s.pending_needs > 0 THEN 'block' ELSE 'retry' END",
        source="task t JOIN workflow_step s ON s.task_id = t.id",
        where="s.workflow_id = :id",
        locks={
            "note": "jsonb_build_object('by', CAST(:actor AS text))",
            "life_seconds": "s.life_seconds",
            "own_end": "s.expires_at",
        },
        sets={
            "run_at": "now()",
            "operation_id": "NULL",
            # An end of its own that is still ahead holds.
            "expires_at": """CASE WHEN l.own_end > now() THEN l.own_end
                WHEN l.event = 'retry' THEN now() + l.life_seconds * interval '1 second' END""",
        },
    )
)
_LOCK_STEPS = sa.text("SELECT FROM task WHERE workflow_id = :id ORDER BY id FOR UPDATE")
_LOCK = sa.text("SELECT name, state, succeeded < steps AS is_open FROM workflow WHERE id = :id FOR UPDATE")
# All needs that have not succeeded run again, optional ones too. Counted before that, to tell which steps wait, and
# once more behind it, when the steps that run again have been counted as pending.
_PENDING = sa.text("""
UPDATE workflow_step s SET pending_needs = x.n FROM (
    SELECT s.task_id, (
        SELECT count(*) FROM unnest(s.needs) d(id) JOIN task n ON n.id = d.id WHERE n.state <> 'succeeded') AS n
    FROM workflow_step s JOIN task t ON t.id = s.task_id
    WHERE s.workflow_id = :id AND t.state IN ('failed', 'cancelled', 'blocked')
) x WHERE s.task_id = x.task_id
""")
_FORGET = sa.text("UPDATE workflow SET cancel_requested_at = NULL, swept = marks WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Retried:
    """`before`: the state that was found; only failed and cancelled workflows run again. `steps`: how many do; none of
    a cancelled workflow whose steps had all succeeded."""

    before: FlowState
    steps: int = 0


def retry_workflow(conn: Connection, workflow_id: UUID, *, by: Actor) -> Committed[Retried | None]:
    """The steps that did not succeed run again, each once what it needs has; the results of the others are kept.
    Answers None where there is no such workflow. In a transaction of the caller's."""
    named = {"id": workflow_id}
    conn.execute(_LOCK_STEPS, named)
    flow = conn.execute(_LOCK, named).first()
    if flow is None:
        return Committed(None)
    if flow.state not in {FlowState.FAILED, FlowState.CANCELLED} or not flow.is_open:
        return Committed(Retried(FlowState(flow.state)))
    conn.execute(_PENDING, named)
    conn.execute(_FORGET, named)
    rows = conn.execute(_AGAIN, {**named, "actor": by.name}).all()
    conn.execute(_PENDING, named)
    audit.record(conn, by, Action.WORKFLOW_RETRY, workflow_id, name=flow.name, steps=len(rows))
    _tell(conn, workflow_id, "retried", by=by.name, steps=len(rows))
    return Committed.of_rows(rows, Retried(FlowState(flow.state), len(rows)))


_PARENT = sa.text("""
SELECT s.workflow_id, s.name, s.optional, s.leads_to FROM workflow_step s WHERE s.task_id = :id
""")
_LOCK_TASKS = sa.text("SELECT FROM task WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_MORE_NEEDS = sa.text("""
UPDATE workflow_step SET pending_needs = pending_needs + cardinality(CAST(:added AS uuid[])),
    needs = needs || CAST(:added AS uuid[])
WHERE task_id = ANY(:ids)
""")
_MORE_STEPS = sa.text("""
UPDATE workflow SET steps = steps + :n,
    queues = ARRAY(SELECT DISTINCT q FROM unnest(queues || CAST(:queues AS text[])) x(q) ORDER BY q)
WHERE id = :id AND steps + :n <= :most
""")
_NEEDS = sa.text("SELECT sum(cardinality(needs)) FROM workflow_step WHERE workflow_id = :id")


def join_workflow(conn: Connection, parent_id: UUID, tasks: Sequence[NewTask]) -> None:
    """Makes tasks that a running step has just submitted steps of its workflow: what needs that step waits for them,
    too, and they are optional where it is. Harmless when repeated.

    In the transaction of the submit, which holds the parent's row, so that what needs it is still blocked. Raises
    TaskError where the workflow would have more than MAX_STEPS or MAX_NEEDS.
    """
    parent = conn.execute(_PARENT, {"id": parent_id}).first() if tasks else None
    if parent is None:
        return
    leads_to = list(parent.leads_to)
    if len(tasks) * len(leads_to) > MAX_NEEDS:  # asked before so many are written
        raise _too_many_needs()
    conn.execute(_LOCK_TASKS, {"ids": leads_to})
    steps = [
        NewStep(task=task, name=f"{parent.name}/{task.id}", leads_to=leads_to, optional=parent.optional)
        for task in tasks
    ]
    batch = encode([_step_row(step) for step in steps])
    added = set(conn.scalars(_STEPS, {"batch": batch}))
    if not added:
        return
    conn.execute(_MORE_NEEDS, {"ids": leads_to, "added": sorted(added)})
    queues = sorted({task.queue for task in tasks})
    more = {"id": parent.workflow_id, "n": len(added), "queues": queues, "most": MAX_STEPS}
    if not conn.execute(_MORE_STEPS, more).rowcount:
        raise TaskError("too_many_steps", retryable=False, limit=MAX_STEPS)
    # Behind the lock of the workflow, so that what others add is counted.
    if leads_to and conn.scalars(_NEEDS, {"id": parent.workflow_id}).one() > MAX_NEEDS:
        raise _too_many_needs()
    _tell(conn, parent.workflow_id, "added", by=parent.name, steps=len(added))


def _too_many_needs() -> TaskError:
    return TaskError("too_many_needs", retryable=False, limit=MAX_NEEDS)
