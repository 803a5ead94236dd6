"""Children of running tasks: validated, committed with their outbox row, published by this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue
from taskyard.domain.errors import TaskError
from taskyard.domain.ids import new_id
from taskyard.lifecycle.batch import Unstorable, check_storable
from taskyard.lifecycle.committed import commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.submit import NewTask, submit_children
from taskyard.settings import Settings

from ..context import Child, TaskContext

# One statement of this many rows stays well under a second and under PostgreSQL's parameter size.
_PAGE = 1000


Maker = Callable[[TaskContext, Child], NewTask]


def submit(
    make: Maker, run: Callable[..., Any], dispatcher: Dispatcher, parent: TaskContext, children: Sequence[Child]
) -> list[UUID]:
    """Commits the children, in pages of 1,000 a transaction; returns their ids in order.

    Raises what `make` raises, Fenced where the parent has lost its claim or was cancelled, and LedgerUnavailable where
    PostgreSQL is away.
    """
    tasks = [make(parent, child) for child in children]
    for start in range(0, len(tasks), _PAGE):
        page = tasks[start : start + _PAGE]
        write = partial(submit_children, tasks=page, parent_id=parent.task_id, claim=parent.claim)
        commit(run, write, dispatcher)
    return [t.id for t in tasks]


def maker(settings: Settings, catalogue: Catalogue, cipher: Cipher) -> Maker:
    """A child may be sent to the configured queues, and to those of the task types."""
    queues = frozenset({*settings.queues, *(t.queue for t in catalogue)})
    return partial(_new_task, cipher=cipher, queues=queues, life=settings.task_life)


def _new_task(parent: TaskContext, child: Child, cipher: Cipher, queues: Collection[str], life: timedelta) -> NewTask:
    """The child as it is stored. Raises TaskError where a queue is unknown or not allowed to the submitter, and
    pydantic.ValidationError where parameters don't fit."""
    task_type = child.task_type
    queue = task_type.queue if child.queue is None else child.queue
    if child.queue is not None and queue not in queues:
        raise TaskError("unknown_queue", retryable=False, queue=repr(queue))
    if parent.allowed_queues is not None and queue not in parent.allowed_queues:
        raise TaskError("queue_not_allowed", retryable=False, queue=repr(queue))
    params = task_type.accept(child.params, cipher)
    try:
        check_storable(params)
    except Unstorable as e:
        raise TaskError("params_invalid", str(e), retryable=False) from e
    delay = (child.delay or timedelta(0)).total_seconds()
    return NewTask(
        id=new_id(),
        name=task_type.name,
        queue=queue,
        params=params,
        version=task_type.version,
        max_attempts=task_type.retry.max_attempts,
        soft_timeout_seconds=task_type.soft_limit.total_seconds(),
        hard_timeout_seconds=task_type.hard_limit.total_seconds(),
        delay_seconds=delay or None,
        life_seconds=life.total_seconds(),
        tags=list(child.tags),
        request_id=parent.request_id,
        traceparent=parent.traceparent,
        submitted_by=parent.submitted_by,
        allowed_queues=parent.allowed_queues,
        parent_id=parent.task_id,
    )
