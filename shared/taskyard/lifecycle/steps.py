# ruff: noqa: S608 - statements are put together from constants of this file
"""What a step's end means for its workflow, in the statement that ends the step.

A step that waits has the number of its needs that are not met yet (`workflow_step.pending_needs`). Each end subtracts
those steps that it won, and the last one unblocks: the tasks of the steps that wait are locked in one order with the
tasks that end, and their rows are written under these locks. So of two last steps that end at the same moment, one
finds what the other has left. (expire takes its tasks as they are free, and locks no others: it only lowers what is
pending, row by row, and a deadlock that it meets is tried again.)

A failure that ends other steps is only marked here (`workflow.marks`); the leader cancels them (`sweep`). Where the
workflow was stopping already, its steps are marked: another end marks nothing, or a step that a person has run again
since would be cancelled for it. With the workflow all its marks are over.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.tasks import FINAL, Edge, Event
from .callbacks import NEW_ID, delivery
from .composer import Consequence, Verb, along, into, out_of

# A step that is optional and ends without success counts as `excused`.
COUNTS = {
    "succeeded": "state = 'succeeded'",
    "failed": "state = 'failed' AND NOT optional",
    "cancelled": "state = 'cancelled' AND NOT optional",
    "excused": "state IN ('failed', 'cancelled') AND optional",
}
_TALLY = ", ".join(f"count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in COUNTS.items())
# That no further step begins.
STOPS = "(w.cancel_requested_at IS NOT NULL OR w.on_failure = 'cancel_rest' AND w.failed + w.cancelled > 0)"
_ENDS = "l.succeeded + l.failed + l.cancelled + l.excused >= l.steps"
_STATE = f"""CASE WHEN NOT ({_ENDS}) THEN 'running' WHEN l.cancel_requested_at IS NOT NULL THEN 'cancelled'
        WHEN l.failed > 0 THEN 'failed' WHEN l.cancelled > 0 THEN 'cancelled' ELSE 'succeeded' END"""
# OFFSET 0: see `verbs.each_by_id`. The same is why tables that are written below are asked for a list of ids as well.
_FROM_MOVED = """
    FROM moved m CROSS JOIN LATERAL (SELECT * FROM workflow_step s WHERE s.task_id = m.id OFFSET 0) s
    WHERE {here} AND m.workflow_id IS NOT NULL"""
_NEEDED_BY = """
    SELECT unnest(s.leads_to) FROM workflow_step s
    WHERE s.task_id = ANY(ARRAY(SELECT id FROM wanted WHERE workflow_id IS NOT NULL))"""
# What `Committed` wakes the scheduler for.
WAKES = (
    "coalesce((SELECT bool_or(u.swept < u.marks OR u.finished_at IS NOT NULL AND u.callback IS NOT NULL)"
    " FROM counted u), false)"
)

_DUE = "coalesce(x.run_at, now() + x.delay_seconds * interval '1 second', now())"


def _met(ends: str) -> str:
    """How many needs of other steps these ends meet."""
    return f"""
    SELECT d.id, count(*) AS n FROM {ends} e CROSS JOIN LATERAL unnest(e.leads_to) d(id)
    WHERE e.state = 'succeeded' OR e.optional GROUP BY d.id"""


# The life of a step begins when nothing holds it back any more. Whether it is blocked is asked behind the lock: a retry
# of the workflow may have been waited for, and before that it was not.
UNBLOCK = Verb(
    name="unblock",
    edges=along(Event.UNBLOCK, Event.DELAY),
    event=f"CASE WHEN {_DUE} > now() THEN 'delay' ELSE 'unblock' END",
    source="task t JOIN lessened x ON x.task_id = t.id JOIN counted w ON w.id = x.workflow_id",
    where="x.pending_needs = 0 AND NOT w.stops",
    is_guarded_late=True,
    locks={"due": _DUE, "life_seconds": "x.life_seconds"},
    sets={
        "run_at": "l.due",
        "expires_at": "coalesce(t.expires_at, l.due + l.life_seconds * interval '1 second')",
    },
)

_MOVED_STATE: Mapping[str, Mapping[Edge, str]] = {"was": {edge: f"'{edge[0]}'" for edge in out_of(*FINAL)}}

ADVANCES = Consequence(
    name="unblocked",
    edges=into(*FINAL),
    holds=_NEEDED_BY,
    steps={
        "step_end": f"SELECT m.id, m.workflow_id, m.state, s.name, s.optional, s.leads_to {_FROM_MOVED}",
        "tally": f"SELECT workflow_id AS id, {_TALLY} FROM step_end GROUP BY workflow_id",
        "flow": f"""
    SELECT w.id, w.steps, w.cancel_requested_at, y.failed + y.cancelled > 0 AND NOT {STOPS} AS spoils,
        {", ".join(f"w.{name} + y.{name} AS {name}" for name in COUNTS)}
    FROM workflow w JOIN tally y ON y.id = w.id
    WHERE w.id = ANY(ARRAY(SELECT id FROM tally)) ORDER BY w.id FOR UPDATE OF w""",
        "counted": f"""
    UPDATE workflow w SET {", ".join(f"{name} = l.{name}" for name in COUNTS)}, state = {_STATE},
        finished_at = CASE WHEN {_ENDS} THEN now() END,
        marks = w.marks + CASE WHEN l.spoils AND NOT ({_ENDS}) THEN 1 ELSE 0 END,
        swept = CASE WHEN {_ENDS} THEN w.marks ELSE w.swept END
    FROM flow l WHERE w.id = l.id AND w.id = ANY(ARRAY(SELECT id FROM flow))
    RETURNING w.*, {STOPS} AS stops""",
        "met": _met("step_end"),
        "lessened": """
    UPDATE workflow_step s SET pending_needs = s.pending_needs - x.n FROM met x
    WHERE s.task_id = x.id AND s.task_id = ANY(ARRAY(SELECT id FROM met))
    RETURNING s.task_id, s.workflow_id, s.pending_needs, s.run_at, s.delay_seconds, s.life_seconds""",
        # One step, so that the end of a workflow has the greater id.
        "told": """
    INSERT INTO workflow_event (workflow_id, kind, data)
    SELECT w.id, 'step', jsonb_build_object('step', e.name, 'task_id', e.id, 'state', e.state)
    FROM counted w JOIN step_end e ON e.workflow_id = w.id
    UNION ALL SELECT w.id, w.state, '{}' FROM counted w WHERE w.finished_at IS NOT NULL""",
    },
    moves=UNBLOCK,
    answers={"wakes": WAKES},
)

# A step that a person has run again is not over any more, and neither is its workflow; what its end had met is pending
# again.
REOPENS = Consequence(
    name="reopened",
    edges=out_of(*FINAL),
    by_edge=_MOVED_STATE,
    holds=_NEEDED_BY,
    steps={
        "step_again": f"SELECT m.workflow_id, {{was}} AS state, s.optional, s.leads_to {_FROM_MOVED}",
        "tally_again": f"SELECT workflow_id AS id, {_TALLY} FROM step_again GROUP BY workflow_id",
        "flow_again": f"""
    SELECT w.id, {", ".join(f"w.{name} - y.{name} AS {name}" for name in COUNTS)}
    FROM workflow w JOIN tally_again y ON y.id = w.id ORDER BY w.id FOR UPDATE OF w""",
        "unmet": _met("step_again"),
        "raised": """
    UPDATE workflow_step s SET pending_needs = s.pending_needs + x.n FROM unmet x WHERE s.task_id = x.id""",
    },
    statement=f"""
    UPDATE workflow w SET {", ".join(f"{name} = l.{name}" for name in COUNTS)}, state = 'running', finished_at = NULL,
        swept = CASE WHEN w.finished_at IS NULL THEN w.swept ELSE w.marks END
    FROM flow_again l WHERE w.id = l.id""",
)

_PAYLOAD = """jsonb_build_object('type', 'workflow.' || w.state, 'timestamp', now(), 'data', jsonb_build_object(
    'id', w.id, 'name', w.name, 'state', w.state, 'created_at', w.created_at, 'finished_at', w.finished_at,
    'steps', jsonb_build_object('total', w.steps, 'succeeded', w.succeeded, 'failed', w.failed,
        'cancelled', w.cancelled, 'excused', w.excused)))"""

CALLS_BACK = Consequence(
    name="workflow_callback",
    edges=into(*FINAL),
    makes=delivery(
        "workflow_callback",
        f"""(
        SELECT {NEW_ID} AS id, now() AS due, jsonb_build_object('endpoint_id', w.callback -> 'endpoint_id',
            'url', w.callback -> 'url', 'payload', {_PAYLOAD}) AS params, w.request_id, w.traceparent, w.submitted_by,
            w.allowed_queues
        FROM counted w WHERE w.finished_at IS NOT NULL AND w.callback IS NOT NULL
    )""",
    ),
)

CONSEQUENCES = (ADVANCES, REOPENS, CALLS_BACK)
