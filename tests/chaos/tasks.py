"""Task types that need more than a thread: a disk, the ledger, an event loop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from taskyard import Params, TaskContext, task
from taskyard.domain.retry import RetryPolicy
from tests.support.effects import EffectParams, EffectResult, effect, leave_effect

BYTES = 300_000
# No outage is for ever.
_STEADY = RetryPolicy(retries=99, first_delay=timedelta(seconds=0.5), max_delay=timedelta(seconds=1), factor=1.0)


@task("chaos.store", retry=_STEADY)
def store(params: Params, context: TaskContext) -> EffectResult:
    """Writes an object to the storage, reads it back and removes it."""
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


@task("chaos.family", retry=_STEADY)
def bring_up(params: Params, context: TaskContext) -> EffectResult:
    """Says how far it is, and submits two tasks."""
    for n in range(2):
        context.progress(n, 2, "one more")
        context.log("here it comes")
        context.submit(effect, {"seconds": 0.05})
    leave_effect(context)
    return EffectResult(attempt=context.attempt)


@task("chaos.wait", retry=_STEADY)
async def wait(params: EffectParams, context: TaskContext) -> EffectResult:
    """Leaves its effect, then waits on the event loop."""
    leave_effect(context)
    await asyncio.sleep(params.seconds)
    return EffectResult(attempt=context.attempt)
