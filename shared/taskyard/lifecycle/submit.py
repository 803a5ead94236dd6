# ruff: noqa: S608 - the statement is put together from constants of this package; every value is bound
"""submit: new tasks and their outbox row, in one statement.

`submit` takes plain tasks. `submit_keyed` (keyed.py) takes requests with an idempotency key or unique keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ..domain.errors import Fenced, IdTaken
from ..domain.messages import message
from ..domain.new_tasks import NewTask, Unique
from ..domain.tasks import Change, Event, Publication, State
from ..store.prepared import Prepared
from ..store.sqlstates import NOT_UNIQUE, sqlstate
from .batch import encode
from .committed import STATES, Committed
from .composer import Verb, along
from .consequences import compose, compose_without

_QUEUED = State.QUEUED

__all__ = [
    "SUBMIT",
    "NewTask",
    "SubmittedTask",
    "Unique",
    "given",
    "submit",
    "submit_children",
    "submit_first",
    "written",
]


# Not frozen, for the reason that NewTask has.
@dataclass(slots=True)
class SubmittedTask:
    id: UUID
    name: str
    queue: str
    state: State
    created_at: datetime
    run_at: datetime
    expires_at: datetime | None
    publication: int


_GIVEN = (
    *("id", "name", "queue", "params", "version", "max_attempts", "soft_timeout_seconds", "hard_timeout_seconds"),
    *("tags", "on_cancel", "request_id", "traceparent", "submitted_by", "allowed_queues", "workflow_id", "schedule_id"),
    *("parent_id", "callback", "limits"),
)

# Written out twice in the statement: a LATERAL for it would cost PostgreSQL a third more to plan.
_DUE = "coalesce(x.run_at, now() + x.delay_seconds * interval '1 second', now())"


def given(event: str = "", more: str = "") -> str:
    """The step that unfolds new tasks; `event`: SQL of another event than that of a due time, `more`: columns."""
    return f"""
incoming AS (
    SELECT x.*, {_DUE} AS due, CASE{event} WHEN {_DUE} > now() THEN 'postpone' ELSE 'submit' END AS event
    FROM json_to_recordset(CAST(:batch AS json)) AS x(
        id uuid, name text, queue text, params jsonb, version int2, max_attempts int4,
        soft_timeout_seconds float8, hard_timeout_seconds float8, delay_seconds float8, run_at timestamptz,
        expires_at timestamptz, life_seconds float8, tags text[], on_cancel text, "unique" jsonb,
        request_id text, traceparent text, submitted_by text, allowed_queues text[],
        workflow_id uuid, schedule_id uuid, parent_id uuid, callback jsonb,
        limits jsonb{more})
)"""


SUBMIT = Verb(
    name="submit",
    edges=along(Event.SUBMIT, Event.POSTPONE),
    given=given(),
    source="incoming",
    sets={
        **{column: f"l.{column}" for column in _GIVEN},
        "expires_at": "coalesce(l.expires_at, l.due + l.life_seconds * interval '1 second')",
        "unique_hold": "l.\"unique\" ->> 'hold'",
        "run_at": "l.due",
        "due_at": "NULL",
        "queued_at": "NULL",
        "publication": "0",
        "limited": "NULL",
    },
    returns={column: f"t.{column}" for column in ("created_at", "run_at", "expires_at")},
)
_SUBMIT = compose(SUBMIT)
_SUBMIT_WITHOUT_KEYS = compose_without(SUBMIT, "key_marks")

# Tasks that are due at once and have neither a unique key nor a limit of their own, as nearly all: nothing of their
# rows has to be read back. Tasks that follow each other and have all but these columns in common are one group, so that
# PostgreSQL reads what they have in common once (docs/decisions/0055).
_OF_EACH = {"ids": "uuid", "params": "jsonb", "request_ids": "text", "traceparents": "text"}
_IN_COMMON = {
    "name": "text",
    "queue": "text",
    "version": "int2",
    "max_attempts": "int4",
    "soft_timeout_seconds": "float8",
    "hard_timeout_seconds": "float8",
    "expires_at": "timestamptz",
    "life_seconds": "float8",
    "tags": "text[]",
    "on_cancel": "text",
    "submitted_by": "text",
    "allowed_queues": "text[]",
    "workflow_id": "uuid",
    "schedule_id": "uuid",
    "parent_id": "uuid",
    "callback": "jsonb",
}
_LATER_OR_BOUND = ("delay_seconds", "run_at", "unique", "limits")
_common_of = attrgetter(*_LATER_OR_BOUND, *_IN_COMMON)
_GROUPS = ", ".join(
    [*(f"{name} {kind}[]" for name, kind in _OF_EACH.items()), *(f"{name} {kind}" for name, kind in _IN_COMMON.items())]
)
_SUBMIT_AT_ONCE = Verb(
    name="submit",
    edges=along(Event.SUBMIT),
    given=f"""
incoming AS (
    SELECT {", ".join(f"g.{name}" for name in _IN_COMMON)}, e.*, NULL::jsonb AS limits
    FROM json_to_recordset(CAST(:batch AS json)) AS g({_GROUPS})
    CROSS JOIN LATERAL unnest({", ".join(f"g.{name}" for name in _OF_EACH)}) AS e(id, params, request_id, traceparent)
)""",
    source="incoming",
    sets={
        **SUBMIT.sets,
        "expires_at": "coalesce(l.expires_at, now() + l.life_seconds * interval '1 second')",
        "unique_hold": "NULL",
        "run_at": "now()",
    },
    answer="""SELECT count(*), now(), (SELECT id FROM outbox_row),
    array_agg(m.id) FILTER (WHERE m.limited = 'waiting') FROM moved m""",
)
_AT_ONCE, _AT_ONCE_FIRST = (
    Prepared(name, compose_without(replace(_SUBMIT_AT_ONCE, may_exist=may_exist), "key_marks"), "batch")
    for name, may_exist in (("submit", True), ("submit_first", False))
)

# Nearly never: a commit whose answer got lost.
_READ_BACK = sa.text("""
SELECT id, name, queue, state, attempt, publication, workflow_id, NULL AS event, NULL AS outbox_id,
    limited = 'waiting' AS wakes, created_at, run_at, expires_at, parent_id
FROM task WHERE id = ANY(:ids)
""")


def submit(conn: Connection, tasks: Sequence[NewTask]) -> Committed[list[SubmittedTask]]:
    """Writes the tasks and one outbox row for those that are due; answers them in the order in which they were given.
    Harmless when repeated with the same ids. Raises IdTaken where one is that of another parent's task.
    """
    if not tasks:
        return Committed([])
    if (groups := _grouped(tasks)) is not None:
        return _submit_at_once(conn, tasks, groups, _AT_ONCE)
    statement = _SUBMIT if any(task.limits for task in tasks) else _SUBMIT_WITHOUT_KEYS
    return written(conn, tasks, conn.execute(statement, {"batch": encode(tasks)}).all())


def submit_first(conn: Connection, tasks: Sequence[NewTask]) -> Committed[list[SubmittedTask]]:
    """As `submit`, for ids that were made for these tasks: they are written as if none existed. Where one does all the
    same, because the answer to an earlier call got lost, `submit` finds it. `conn` commits each statement on its own.
    """
    if not tasks or (groups := _grouped(tasks)) is None:
        return submit(conn, tasks)
    try:
        return _submit_at_once(conn, tasks, groups, _AT_ONCE_FIRST)
    except IntegrityError as e:
        if sqlstate(e) != NOT_UNIQUE:
            raise
        return submit(conn, tasks)


def _submit_at_once(
    conn: Connection, tasks: Sequence[NewTask], groups: Sequence[dict[str, Any]], statement: Prepared
) -> Committed[list[SubmittedTask]]:
    number, now, outbox_id, waiting = statement.one(conn, encode(groups))
    if number < len(tasks):
        done = written(conn, tasks, [])
    else:
        held_back = set(waiting or ())
        ends = {
            life: None if life is None else now + timedelta(seconds=life) for life in {t.life_seconds for t in tasks}
        }
        done = Committed(
            [
                SubmittedTask(t.id, t.name, t.queue, _QUEUED, now, now, t.expires_at or ends[t.life_seconds], 1)
                for t in tasks
            ],
            [Change(t.id, t.name, t.queue, _QUEUED, 0, t.workflow_id) for t in tasks],
            [Publication(t.id, t.queue, 1) for t in tasks if t.id not in held_back],
            wakes_scheduler=waiting is not None,
        )
    if outbox_id is not None:
        done.outbox_ids.append(outbox_id)
    return done


def _grouped(tasks: Sequence[NewTask]) -> list[dict[str, Any]] | None:
    """The tasks for `_AT_ONCE`; None where one of them is due later, or has a unique key or a limit."""
    groups: list[dict[str, Any]] = []
    last: tuple[Any, ...] = ()
    for task in tasks:
        common = _common_of(task)
        if common != last:
            last = common
            if any(common[: len(_LATER_OR_BOUND)]):
                return None
            group = dict(zip(_IN_COMMON, common[len(_LATER_OR_BOUND) :], strict=True))
            ids: list[UUID] = []
            params: list[dict[str, Any]] = []
            request_ids: list[str | None] = []
            traceparents: list[str | None] = []
            groups.append(group | dict(zip(_OF_EACH, (ids, params, request_ids, traceparents), strict=True)))
        ids.append(task.id)
        params.append(task.params)
        request_ids.append(task.request_id)
        traceparents.append(task.traceparent)
    return groups


def written(conn: Connection, tasks: Sequence[NewTask], found: Sequence[Any]) -> Committed[list[SubmittedTask]]:
    """What a statement answered that writes new tasks, completed by those that existed. Raises IdTaken."""
    rows: list[Sequence[Any]] = [*found]
    by_id = {row[0]: row for row in rows}
    if len(rows) < len(tasks):
        missing = {t.id: t.parent_id for t in tasks if t.id not in by_id}
        for kept in conn.execute(_READ_BACK, {"ids": list(missing)}):
            # The ids of children can be foreseen, so a caller of the API may have chosen one.
            if kept.parent_id != missing[kept.id]:
                raise IdTaken(message("A task with this id exists."), task_id=kept.id)
            by_id[kept.id] = kept[:-1]
    ordered = [by_id[task.id] for task in tasks]
    made = []
    for row in ordered:
        task_id, name, queue, state, _, publication, _, _, _, _, created_at, run_at, expires_at = row
        made.append(SubmittedTask(task_id, name, queue, STATES[state], created_at, run_at, expires_at, publication))
    return Committed.of_rows(ordered, made)


# FOR SHARE: a cancel of the parent that comes later waits, and finds the children; one that came before is seen here.
_HOLDS = sa.text("""
SELECT FROM task WHERE id = :id AND state = 'running' AND claim = :claim AND cancel_requested_at IS NULL FOR SHARE
""")


def submit_children(
    conn: Connection, tasks: Sequence[NewTask], *, parent_id: UUID, claim: UUID
) -> Committed[list[SubmittedTask]]:
    """Writes what a running task submits, in a transaction of the caller's.

    Raises Fenced where the parent's claim does not hold any more, or its end was asked for: an attempt that
    was given up leaves no children.
    """
    if conn.execute(_HOLDS, {"id": parent_id, "claim": claim}).first() is None:
        raise Fenced("this attempt does not hold the task any more")
    return submit(conn, tasks)
