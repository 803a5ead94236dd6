"""What follows from a task's move, edge by edge of the transition table.

Every verb that moves a task along one of a consequence's edges brings it about, in its own statement.
(`docs/contributing/consequences.md` shows how to add one.)
"""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa

from ..domain.tasks import FINAL, TRANSITIONS, WAITING, Edge, Event, State
from . import callbacks, composer, steps
from .composer import Consequence, Verb, along, into, out_of

# SQL of the event's kind in the timeline; NULL: none is written.
_KINDS: dict[Edge, str] = {
    **dict.fromkeys(along(Event.CANCEL, out_of=WAITING), "'cancelled'"),
    **dict.fromkeys(along(Event.CANCEL, out_of={State.RUNNING}), "{cancel_kind}"),
    **dict.fromkeys(along(Event.REQUEST_CANCEL), "CASE WHEN NOT {is_repeated} THEN 'cancel_requested' END"),
    **dict.fromkeys(along(Event.PUT_OFF), "'put_off'"),
    **dict.fromkeys(along(Event.ASSERT), "'claim_asserted'"),
    **dict.fromkeys(along(Event.EXPIRE), "'expired'"),
    **dict.fromkeys(along(Event.CHANGE, Event.RESCHEDULE), "'changed'"),
    **dict.fromkeys(along(Event.RETRY, Event.REPLAY), "'retried'"),
    **dict.fromkeys(along(Event.BLOCK, out_of=FINAL), "'retried'"),
    **dict.fromkeys(along(Event.DISCARD), "'discarded'"),
    **dict.fromkeys(along(Event.RESTORE), "'restored'"),
}

# That something limits a task: it has a limit of its own, or its queue has one.
HAS_LIMIT = """({task}.limits IS NOT NULL OR EXISTS (SELECT FROM queue q
    WHERE q.name = {task}.queue AND (q.concurrent IS NOT NULL OR q.per_second IS NOT NULL)))"""
# That a task which has moved has left its place in its limit.
GAVE_BACK = "coalesce(m.limited = 'freed', false)"
_HELD = (State.QUEUED, State.RUNNING)
_LEAVES = frozenset(edge for edge in out_of(*_HELD) if TRANSITIONS[edge] not in _HELD)
_ENTERS = into(State.QUEUED) - out_of(State.RUNNING)
# Which keys the leader has to look at. It looks at all queues that have a limit.
_MARKS = """
    INSERT INTO limit_mark (key) SELECT DISTINCT 'task:' || {limit_key} FROM moved m
    WHERE {here} AND {limited} = '%s' AND {limit_key} IS NOT NULL"""
_READ_OF_LIMITS = {"limited": "t.limited", "limit_key": "t.limits ->> 'key'"}

CONSEQUENCES = (
    # Of the task's own row
    Consequence(
        name="enters_queue",
        edges=into(State.QUEUED) | set(along(Event.GRANT)),
        columns={"queued_at": "now()", "publication": "{before} + 1"},
    ),
    Consequence(
        name="gets_due_time",
        edges=into(State.SCHEDULED, State.RETRYING),
        columns={"due_at": "l.due", "run_at": "l.due"},
        needs={"due": None},
    ),
    Consequence(
        name="loses_due_time",
        edges=out_of(State.SCHEDULED, State.RETRYING),
        columns={"due_at": "NULL"},
    ),
    Consequence(
        name="loses_claim",
        edges=out_of(State.RUNNING),
        columns={"claim": "NULL", "worker_id": "NULL"},
    ),
    Consequence(
        name="ends",
        edges=into(*FINAL),
        columns={"finished_at": "now()"},
    ),
    # A person's second chance: fresh budgets. What the runs before came to stands in attempts and timeline.
    Consequence(
        name="starts_afresh",
        edges=out_of(*FINAL),
        columns={
            **dict.fromkeys(("failures", "crashes", "suspicions", "displacements", "put_offs"), "0"),
            **dict.fromkeys(("finished_at", "cancel_requested_at", "discarded_at", "error", "result"), "NULL"),
            "partial": "false",
        },
        statement="DELETE FROM task_progress p USING moved m WHERE {here} AND p.task_id = m.id",
    ),
    # Of other tables
    Consequence(
        name="attempt_rows",
        edges=out_of(State.RUNNING),
        needs={
            "attempt_outcome": "CASE state WHEN 'queued' THEN 'released' ELSE state END",
            **dict.fromkeys(("began_at", "ended_at", "attempt_error", "cause", "peak_memory_bytes"), None),
            "due": "CAST(NULL AS timestamptz)",
            "traceback": "CAST(NULL AS text)",
            "worker": "t.worker",
            "queued_at": "t.queued_at",
        },
        statement="""
    INSERT INTO task_attempt (task_id, attempt, outcome, worker, queue, started_at, finished_at, retry_at, error,
        traceback, cause, peak_memory_bytes, queued_at)
    SELECT id, attempt, {attempt_outcome}, {worker}, queue, {began_at}, {ended_at},
        CASE WHEN state = 'retrying' THEN {due} END, {attempt_error}, {traceback}, {cause}, {peak_memory_bytes},
        CASE WHEN {queued_at} <= {began_at} THEN {queued_at} END
    FROM moved m WHERE {here} AND {began_at} IS NOT NULL""",
    ),
    Consequence(
        name="timeline_rows",
        edges=frozenset(_KINDS),
        needs={
            "note": "CAST('{}' AS jsonb)",
            "cancel_kind": "CAST(NULL AS text)",
            "is_repeated": "false",
        },
        by_edge={"kind": _KINDS},
        statement="""
    INSERT INTO task_event (task_id, attempt, kind, data)
    SELECT id, attempt, {kind}, {note} FROM moved m WHERE {here} AND {kind} IS NOT NULL""",
    ),
    Consequence(
        name="freed_waiting_keys",
        edges=into(State.RUNNING),
        needs={"unique_hold": "t.unique_hold"},
        statement="""
    DELETE FROM unique_key WHERE hold = 'waiting' AND task_id = ANY (ARRAY(
        SELECT id FROM moved m WHERE {here} AND {unique_hold} = 'waiting'))""",
    ),
    Consequence(
        name="freed_keys",
        edges=into(*FINAL),
        needs={"unique_hold": "t.unique_hold"},
        statement="""
    DELETE FROM unique_key WHERE task_id = ANY (ARRAY(
        SELECT id FROM moved m WHERE {here} AND {unique_hold} IS NOT NULL))""",
    ),
    # What waits for a limit is not published: lifecycle/limits.py.
    Consequence(
        name="waits_for_limit",
        edges=_ENTERS | set(along(Event.HOLD_BACK)),
        columns={"limited": f"CASE WHEN {HAS_LIMIT} THEN 'waiting' ELSE {{before}} END"},
        answers={"wakes": "coalesce(m.limited = 'waiting', false)"},
    ),
    Consequence(
        name="key_marks",
        edges=_ENTERS | set(along(Event.HOLD_BACK)),
        needs=_READ_OF_LIMITS,
        statement=_MARKS % "waiting",
    ),
    Consequence(
        name="counts_against_limit",
        # What is lost ran already: it keeps its place, also where its queue has got a limit since it began.
        edges=along(Event.ASSERT, Event.LOSE),
        columns={"limited": f"CASE WHEN {HAS_LIMIT} THEN 'granted' ELSE {{before}} END"},
    ),
    Consequence(
        name="frees_limit",
        edges=_LEAVES,
        # Also what waited: those behind it may have another limit.
        columns={"limited": "CASE WHEN {task}.limited IN ('waiting', 'granted') THEN 'freed' END"},
        needs=_READ_OF_LIMITS,
        statement=_MARKS % "freed",
        answers={"wakes": GAVE_BACK},
    ),
    Consequence(
        name="outbox_row",
        edges=into(State.QUEUED) | set(along(Event.GRANT)),
        needs={"limited": "t.limited"},
        statement="""
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM moved m
    WHERE {here} AND {limited} IS DISTINCT FROM 'waiting' HAVING count(*) > 0 RETURNING id""",
        answers={"outbox_id": "(SELECT id FROM outbox_row)"},
    ),
    # The task that tells a receiver of the end. Scheduled for now, so that promotion gives it its outbox row.
    Consequence(
        name="callback_task",
        edges=into(*FINAL),
        needs={column: f"t.{column}" for column in callbacks.READ},
        makes=callbacks.DELIVERY,
        answers={"wakes": callbacks.WANTS_FINAL},
    ),
    # Of workflows
    *steps.CONSEQUENCES,
)

compose = partial(composer.compose, consequences=CONSEQUENCES)


def compose_without(verb: Verb, *names: str) -> sa.Executable:
    """The statement without these consequences: for tasks that are known to need none of them. Planning what finds
    nothing to do has its price."""
    return composer.compose(verb, [c for c in CONSEQUENCES if c.name not in names])


def compose_for(verb: Verb, *, calls_back: bool, is_step: bool, is_limited: bool) -> sa.Executable:
    """The statement for tasks that are known to have no callback, no limit, or to be no steps: planning what finds
    nothing to do would make the finish of one task cost PostgreSQL a fifth more (measured for callbacks: 190 µs of
    1.1 ms; see docs/decisions/0033 for steps)."""
    left_out = [] if calls_back else ["callback_task"]
    left_out += [] if is_limited else ["frees_limit"]
    left_out += [] if is_step else [c.name for c in steps.CONSEQUENCES]
    return compose_without(verb, *left_out)
