"""Children of running tasks: admitted, committed with their outbox row, published by this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection

from taskyard.lifecycle.committed import Announcer, Committed, commit
from taskyard.lifecycle.submit import NewTask, SubmittedTask, submit_children
from taskyard.lifecycle.workflows import join_workflow
from taskyard.running.child import Child
from taskyard.running.children import Admit
from taskyard.running.context import TaskContext
from taskyard.running.hooks import Hooks
from taskyard.telemetry.exports import publishing

from .copies import refuse_in_copy

if TYPE_CHECKING:
    from taskyard.telemetry.spans import Tracer

# One statement of this many rows stays well under a second and under PostgreSQL's parameter size.
_PAGE = 1000


Written = Committed[list[SubmittedTask]]


def submit(
    admit: Admit,
    run: Callable[[Callable[[Connection], Written]], Written],
    announcer: Announcer,
    hooks: Hooks,
    parent: TaskContext,
    children: Sequence[Child],
    *,
    tracer: Tracer | None = None,
) -> list[UUID]:
    """Commits the children, in pages of 1,000 a transaction; returns their ids in order.

    Raises what `admit` raises, Fenced where the parent has lost its claim or was cancelled, LedgerUnavailable where
    PostgreSQL is away, and RuntimeError in a copy of the process.
    """
    refuse_in_copy()
    admitted = [admit(parent, child) for child in children]
    first: dict[UUID, NewTask] = {}
    for task in admitted:
        first.setdefault(task.id, task)  # children with the same key are one
    tasks = [*first.values()]
    for start in range(0, len(tasks), _PAGE):
        page = tasks[start : start + _PAGE]
        write = partial(_write, tasks=page, parent_id=parent.task_id, claim=parent.claim)
        hooks.before_submit(page)
        with publishing(tracer, page):
            commit(run, write, announcer)
        hooks.after_submit(page)
    return [task.id for task in admitted]


def _write(conn: Connection, tasks: Sequence[NewTask], *, parent_id: UUID, claim: UUID) -> Written:
    written = submit_children(conn, tasks, parent_id=parent_id, claim=claim)
    join_workflow(conn, parent_id, [task for task in tasks if task.workflow_id is not None])
    return written
