"""cancel: what waits ends on the spot; what runs gets a request that outlives every restart.

Tasks that a cancelled task submitted follow it, and theirs too, unless it was submitted with
`on_cancel: leave_children`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import FINAL, WAITING, Change, Event, State
from ..store import audit, left_children
from ..store.audit import Action, Actor
from .batch import encode
from .callbacks import WANTS_FINAL
from .committed import Committed, together
from .composer import Verb, along
from .consequences import GAVE_BACK, compose
from .steps import WAKES


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`before` is the state that was found; a final one was left as it is. `change.state` is the state now.
    `is_repeated`: the request had been made before.
    """

    change: Change
    before: State
    is_repeated: bool = False


_CANCEL = compose(
    Verb(
        name="cancel",
        edges=along(Event.REQUEST_CANCEL) + along(Event.CANCEL, out_of=WAITING),
        event="CASE WHEN t.state = 'running' THEN 'request_cancel' ELSE 'cancel' END",
        where="t.id = ANY(:ids)",
        is_guarded_late=True,
        locks={
            **{column: f"t.{column}" for column in ("name", "queue", "attempt", "publication", "workflow_id")},
            "is_repeated": "t.cancel_requested_at IS NOT NULL",
            "note": "jsonb_strip_nulls(jsonb_build_object("
            "'by', CAST(:actor AS text), 'follows', CAST(:follows AS jsonb) -> CAST(t.id AS text)))",
        },
        sets={
            "cancel_requested_at": "coalesce(t.cancel_requested_at, now())",
            "operation_id": "CAST(:operation AS uuid)",
        },
        more=("before", "is_repeated"),
        answer=f"""
SELECT l.id, l.name, l.queue, coalesce(m.state, l.before) AS state, l.attempt, l.publication, l.workflow_id, m.event,
    NULL AS outbox_id, ({WANTS_FINAL} OR {WAKES} OR {GAVE_BACK}) AS wakes, l.before, l.is_repeated
FROM locked l LEFT JOIN moved m ON m.id = l.id ORDER BY l.id""",  # noqa: S608 constants only
    )
)

# Through children that have ended, too: what they submitted may still be under way.
_CHILDREN = sa.text("""
SELECT c.id, c.parent_id FROM task c JOIN task p ON p.id = c.parent_id
WHERE p.id = ANY(:ids) AND p.on_cancel = 'cancel_children' LIMIT :limit
""")
_HOLD = sa.text("""
SELECT FROM task WHERE id = ANY(ARRAY(SELECT unnest(CAST(:ids AS uuid[]))
    UNION SELECT unnest(s.leads_to) FROM workflow_step s WHERE s.task_id = ANY(:ids)))
ORDER BY id FOR UPDATE
""")
_IS_LIVE = sa.text("SELECT finished_at IS NULL FROM task WHERE id = :id")
PAGE = 1000
# So many tasks one transaction locks, with those that their cancellation reaches: a worker that wants to claim one of
# them waits no longer than that takes.
MOST_HELD = 2000
# So many descendants are named in the audit row.
_NAMED = 1000


def cancel(
    conn: Connection,
    ids: Sequence[UUID],
    *,
    actor: str | None = None,
    follows: Mapping[UUID, UUID] | None = None,
    operation: UUID | None = None,
) -> Committed[list[Cancellation]]:
    """Cancels what waits, marks what runs, leaves what is final; ids that don't exist are missing in the
    answer. `follows`: of each of them, the task whose cancellation brought this one about. `operation`: the one that
    does it, by which it is taken back; what follows is submitted anew by then.
    """
    told = encode([{str(i): str(follows[i]) for i in ids}])[1:-1] if follows else None
    rows = conn.execute(_CANCEL, {"ids": list(ids), "actor": actor, "follows": told, "operation": operation}).all()
    found = [
        Cancellation(
            Change(r.id, r.name, r.queue, State(r.state), r.attempt, r.workflow_id), State(r.before), r.is_repeated
        )
        for r in rows
        if r.before is not None  # else a step of a workflow that is unblocked
    ]
    return Committed.of_rows([r for r in rows if r.event is not None], found)


def hold_families(conn: Connection, ids: Sequence[UUID]) -> None:
    """Locks the tasks, those that their cancellation reaches in this transaction, and the steps that need one of these,
    in one order. In the transaction that cancels them, before that: the first cancellation locks their workflows, and
    no task should be waited for behind a workflow. A child that is submitted meanwhile is not held; where that ends in
    a deadlock, the transaction is tried again.
    """
    reached = {task_id: task_id for task_id in ids}
    level = reached
    while below := _below(conn, level, reached):
        reached |= below
        level = below
    hold(conn, list(reached))


def hold(conn: Connection, ids: Sequence[UUID]) -> None:
    """Locks the tasks, and the steps that need one of them."""
    conn.execute(_HOLD, {"ids": list(ids)})


def cancel_descendants(conn: Connection, ids: Sequence[UUID], *, actor: str | None = None) -> Committed[list[UUID]]:
    """Cancels what the tasks submitted, and what that submitted, as far as `on_cancel` goes; answers which moved. A
    level with which the transaction would hold more than `MOST_HELD` tasks is left to the leader, and so is what is
    below (follow.py).

    In the transaction that cancelled the tasks themselves, after that: the lock on their rows, which a submit of a
    child needs, lets every child be seen here or refused there.
    """
    parts: list[Committed[list[Cancellation]]] = []
    reached = {task_id: task_id for task_id in ids}
    level, is_left = reached, False
    while level:
        below = _below(conn, level, reached)
        if below is None:
            is_left = left_children.leave(conn, level)
            break
        children = list(below)
        pages = (children[start : start + PAGE] for start in range(0, len(children), PAGE))
        parts += [cancel(conn, page, actor=actor, follows=below) for page in pages]
        reached |= below
        level = below
    done = together(parts, [c.change.task_id for p in parts for c in p.answer if c.before not in FINAL])
    done.wakes_scheduler |= is_left
    return done


def _below(conn: Connection, level: Mapping[UUID, UUID], reached: Mapping[UUID, UUID]) -> dict[UUID, UUID] | None:
    """What the tasks of a level submitted, each with the task that it comes from; None: more than may be reached."""
    rows = conn.execute(_CHILDREN, {"ids": list(level), "limit": MOST_HELD + 1}).all()
    below = {row.id: level[row.parent_id] for row in rows if row.id not in reached}
    is_too_much = len(rows) > MOST_HELD or (below and len(reached) + len(below) > MOST_HELD)
    return None if is_too_much else below


def cancel_task(conn: Connection, task_id: UUID, *, by: Actor) -> Committed[Cancellation | None]:
    """The task is cancelled, or asked to end, and so is what it submitted; the audit log records it. Answers what was
    found, None where there is no such task.
    """
    # What has ended needs no locks; whether it still has is decided by `cancel`.
    if conn.scalar(_IS_LIVE, {"id": task_id}):
        hold_families(conn, [task_id])
    asked = cancel(conn, [task_id], actor=by.name)
    if not asked.answer:
        return Committed(None)
    (found,) = asked.answer
    if found.before in FINAL:
        return asked.answering(found)
    followed = cancel_descendants(conn, [task_id], actor=by.name)
    if followed.answer or not found.is_repeated:
        change = found.change
        told = {"name": change.name, "queue": change.queue, "state": change.state, "before": found.before}
        more = {"followed": followed.answer[:_NAMED]} if followed.answer else {}
        audit.record(conn, by, Action.TASK_CANCEL, task_id, **told, **more)
    return together([asked, followed], found)
