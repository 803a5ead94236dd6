"""One message to a receiver, and what its answer means for the task."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import orjson

from taskyard import RateLimited, TaskContext, TaskError
from taskyard.outbound import client
from taskyard.outbound.client import AddressRefused, Bounds, Unanswered
from taskyard.outbound.retry_after import retry_after
from taskyard.outbound.urls import read_url
from taskyard.running.webhooks import Target

from .settings import WebhookSettings

GONE = 410
# Nothing of the body is used.
_BOUNDS = Bounds(most_bytes=1024)


class Gone(TaskError):
    """The receiver wants no more messages."""

    def __init__(self) -> None:
        super().__init__("webhook_gone", retryable=False)


async def send(context: TaskContext, target: Target, url: str, payload: Any) -> int:
    """Sends the payload, signed; returns the receiver's status, a 2xx. The task's id is that of the message, so that a
    repeat can be recognised.

    Raises Gone, RateLimited where the receiver names a time to wait, and TaskError: not retryable where the address may
    not be called.
    """
    settings: WebhookSettings = context.settings
    body = orjson.dumps(payload)
    headers = {"Content-Type": "application/json", **_passed_on(context), **target.headers(context.task_id, body)}
    try:
        answer = await client.request(
            "POST", read_url(url), networks=settings.reachable, headers=headers, content=body, bounds=_BOUNDS
        )
    except AddressRefused:
        raise TaskError("webhook_address_refused", retryable=False) from None
    except Unanswered as e:
        raise TaskError("webhook_unanswered", reason={"phrase": f"webhook_{e.reason}"}) from None
    if 200 <= answer.status < 300:
        return answer.status
    if answer.status == GONE:
        raise Gone
    after = retry_after(answer.headers.get("retry-after"))
    if after is not None:
        raise RateLimited("webhook_refused", after=after, status=answer.status)
    raise TaskError("webhook_refused", status=answer.status)


def _passed_on(context: TaskContext) -> dict[str, str]:
    """What the receiver needs to follow the request that the task came from, into its own logs and traces."""
    given = {"X-Request-ID": (context.request_id or "").strip(), "traceparent": context.traceparent or ""}
    return {name: value for name, value in given.items() if value}


def message(name: str, data: Any, context: TaskContext) -> dict[str, Any]:
    """As Standard Webhooks recommends it. Without the time: every attempt sends the same bytes."""
    return {"type": name, "data": {"id": context.task_id, **data}}


async def disable(context: TaskContext, endpoint_id: UUID) -> None:
    """Nothing more is sent to the endpoint; the audit log names this task."""
    await asyncio.to_thread(context.webhooks.disable, endpoint_id, by=f"task:{context.task_id}")
    context.log("The receiver answered 410: the endpoint is disabled.", level="warning")
