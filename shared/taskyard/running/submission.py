"""A task that a running task submits, as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial

from ..catalogue.secrets import Cipher
from ..catalogue.types import Catalogue, UnknownTaskType
from ..domain.errors import TaskError
from ..domain.ids import new_id
from ..lifecycle.batch import Unstorable, check_storable
from ..lifecycle.submit import NewTask
from ..settings import Settings
from .context import Child, TaskContext

Maker = Callable[[TaskContext, Child], NewTask]


def maker(settings: Settings, catalogue: Catalogue, cipher: Cipher, queues: Collection[str] = ()) -> Maker:
    """A child may be sent to the configured queues, to those of the task types, and to `queues`."""
    every = frozenset({*settings.queues, *queues, *(t.queue for t in catalogue)})
    return partial(_new_task, catalogue=catalogue, cipher=cipher, queues=every, life=settings.task_life)


def _new_task(
    parent: TaskContext,
    child: Child,
    catalogue: Catalogue,
    cipher: Cipher,
    queues: Collection[str],
    life: timedelta,
) -> NewTask:
    """The child as it is stored.

    Raises TaskError where a name or a queue is unknown or the queue is not allowed to the submitter, and
    pydantic.ValidationError where parameters don't fit.
    """
    try:
        task_type = catalogue[child.task_type] if isinstance(child.task_type, str) else child.task_type
    except UnknownTaskType as e:
        raise TaskError(e.code, str(e), retryable=False) from e
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
