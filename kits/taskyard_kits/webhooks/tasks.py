"""webhooks.deliver: what the platform tells of a task. The platform alone submits it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from taskyard import TaskContext, TaskError, task
from taskyard.domain import callbacks
from taskyard.domain.retry import RetryPolicy
from taskyard.outbound.urls import read_url
from taskyard.running.webhooks import Unusable

from . import delivery
from .declarations import Delivered, DeliverParams
from .rules import RULES
from .words import ERRORS, PHRASES

# 5 s, 20 s, 80 s, ... up to 5 hours: a day or so altogether, by the table of Standard Webhooks.
_RETRY = RetryPolicy(
    retries=callbacks.MAX_ATTEMPTS - 1,
    first_delay=timedelta(seconds=5),
    factor=4.0,
    max_delay=timedelta(hours=5),
)


@task(
    callbacks.DELIVER,
    queue=callbacks.QUEUE,
    retry=_RETRY,
    rules=RULES,
    soft_limit=callbacks.SOFT_LIMIT,
    hard_limit=callbacks.HARD_LIMIT,
    errors=ERRORS,
    phrases=PHRASES,
)
async def deliver(params: DeliverParams, *, context: TaskContext) -> Delivered:
    """Tells a receiver how a task ended, or how far it is. The platform submits it."""
    target = await asyncio.to_thread(context.webhooks.target, params.endpoint_id)
    if isinstance(target, Unusable):
        return Delivered(status="not_sent", reason=f"endpoint_{target.reason}")
    payload: Any = params.payload
    if params.progress_of is not None:
        payload = await asyncio.to_thread(context.webhooks.progress, params.progress_of)
        if payload is None:
            return Delivered(status="not_sent", reason="task_ended")
    try:
        return Delivered(answer=await delivery.send(context, target, params.url, payload))
    except delivery.Gone:
        # The default endpoint signs for addresses of others, who have no say in it.
        if not read_url(params.url).lies_under(read_url(target.url)):
            raise TaskError("webhook_address_gone", retryable=False) from None
        await delivery.disable(context, params.endpoint_id)
        raise
    except TaskError as e:
        if params.progress_of is None:
            raise
        return Delivered(status="not_sent", reason=e.code)  # the next one tells more
