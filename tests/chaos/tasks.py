"""A task type that needs a disk."""

from __future__ import annotations

from datetime import timedelta

from taskyard.catalogue.types import Params, TaskType
from taskyard.domain.retry import RetryPolicy
from taskyard_worker.context import TaskContext
from taskyard_worker.implementations import implements
from tests.support.effects import EffectResult, leave_effect

BYTES = 300_000

STORE = TaskType(
    name="chaos.store",
    description="Writes an object to the storage, reads it back and removes it.",
    params=Params,
    result=EffectResult,
    # A full disk is not full for ever.
    retry=RetryPolicy(retries=99, first_delay=timedelta(seconds=0.5), max_delay=timedelta(seconds=1), factor=1.0),
)


@implements(STORE)
def store(params: Params, context: TaskContext) -> EffectResult:
    data = context.task_id.bytes * (BYTES // 16)
    with context.storage.writer() as writer:
        writer.write(data)
        stored = writer.commit()
    try:
        with context.storage.open(stored.key) as file:
            assert file.read() == data
    finally:
        context.storage.delete(stored.key)
    leave_effect(context)
    return EffectResult(attempt=context.attempt)
