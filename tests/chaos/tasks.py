"""Task types that need more than a thread: a disk, the ledger, an event loop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from taskyard.catalogue.types import Params, TaskType
from taskyard.domain.retry import RetryPolicy
from taskyard.running.context import TaskContext
from taskyard.running.implementations import implements
from tests.support.effects import EFFECT, EffectParams, EffectResult, leave_effect

BYTES = 300_000
# No outage is for ever.
_STEADY = RetryPolicy(retries=99, first_delay=timedelta(seconds=0.5), max_delay=timedelta(seconds=1), factor=1.0)

STORE = TaskType(
    name="chaos.store",
    description="Writes an object to the storage, reads it back and removes it.",
    params=Params,
    result=EffectResult,
    retry=_STEADY,
)

FAMILY = TaskType(
    name="chaos.family",
    description="Says how far it is, and submits two tasks.",
    params=Params,
    result=EffectResult,
    retry=_STEADY,
)

WAIT = TaskType(
    name="chaos.wait",
    description="Leaves its effect, then waits on the event loop.",
    params=EffectParams,
    result=EffectResult,
    retry=_STEADY,
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


@implements(FAMILY)
def bring_up(params: Params, context: TaskContext) -> EffectResult:
    for n in range(2):
        context.progress(n, 2, "one more")
        context.log("here it comes")
        context.submit(EFFECT, {"seconds": 0.05})
    leave_effect(context)
    return EffectResult(attempt=context.attempt)


@implements(WAIT)
async def wait(params: EffectParams, context: TaskContext) -> EffectResult:
    leave_effect(context)
    await asyncio.sleep(params.seconds)
    return EffectResult(attempt=context.attempt)
