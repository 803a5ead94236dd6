"""notifications.send: one short message to one recipient."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from taskyard import TaskContext, TaskError, task
from taskyard.domain.retry import CONNECTION, RATE_LIMIT, RetryPolicy, RetryRule
from taskyard.running.webhooks import Unusable
from taskyard.store import users
from taskyard.store.tree_items import owner_seen
from taskyard.store.users import User
from taskyard_kits.mail import messages, smtp
from taskyard_kits.mail import rules as mail_rules
from taskyard_kits.mail import words as mail
from taskyard_kits.users import rules as user_rules
from taskyard_kits.users import words as users_words
from taskyard_kits.webhooks import delivery
from taskyard_kits.webhooks import rules as webhook_rules
from taskyard_kits.webhooks import words as webhooks

from .declarations import Notified, SendParams
from .settings import NotificationSettings
from .words import ERRORS

# 2, 4, 8, ... seconds, 300 at most.
_RETRY = RetryPolicy(retries=5, first_delay=timedelta(seconds=2), max_delay=timedelta(seconds=300))
_RULES = (
    replace(CONNECTION, first_delay=None).of("smtp_unreachable", "webhook_unanswered"),
    replace(RATE_LIMIT, first_delay=None),
    *mail_rules.FINAL,
    *webhook_rules.FINAL,
    user_rules.UNKNOWN.of("user_without_endpoint"),
    RetryRule("endpoint", codes=("webhook_endpoint_deleted", "webhook_endpoint_disabled"), retried=False),
)


@task(
    "notifications.send",
    retry=_RETRY,
    rules=_RULES,
    soft_limit=smtp.SOFT_LIMIT,
    hard_limit=smtp.HARD_LIMIT,
    errors={**mail.ERRORS, **webhooks.ERRORS, **users_words.ERRORS, **ERRORS},
    phrases={**mail.PHRASES, **webhooks.PHRASES},
)
async def send(params: SendParams, *, context: TaskContext) -> Notified:
    """Sends a short message by mail, or signed to a webhook endpoint."""
    context.set_attributes({"notification.channel": params.channel, "notification.success": False})
    to_email, endpoint_id = params.to_email, params.webhook_endpoint_id
    if params.user_id is not None:
        user = await _user(params.user_id, context)
        to_email, endpoint_id = user.email, user.webhook_endpoint_id
    if params.channel == "email":
        assert to_email is not None
        message_id = await _to_mailbox(to_email, params, context)
    elif endpoint_id is not None:
        message_id = await _to_endpoint(endpoint_id, params, context)
    else:
        raise TaskError("user_without_endpoint", retryable=False)
    context.set_attributes({"notification.success": True})
    return Notified(channel=params.channel, sent_at=datetime.now(UTC), message_id=message_id)


async def _user(user_id: int, context: TaskContext) -> User:
    owner = owner_seen(context.submitted_by, context.allowed_queues)
    async with context.db() as conn:
        found = await conn.run_sync(users.get, user_id, owner=owner)
    if found is None:
        raise TaskError("user_not_found", retryable=False)
    return found


async def _to_endpoint(endpoint_id: UUID, params: SendParams, context: TaskContext) -> str:
    owner = owner_seen(context.submitted_by, context.allowed_queues)
    target = await asyncio.to_thread(context.webhooks.target, endpoint_id, owner=owner)
    if isinstance(target, Unusable):
        if target.reason == "disabled":
            raise TaskError("webhook_endpoint_disabled", retryable=False)
        raise TaskError("webhook_endpoint_deleted", retryable=False)
    data = {"subject": params.subject, "message": params.message}
    try:
        await delivery.send(context, target, target.url, delivery.message("notification", data, context))
    except delivery.Gone:
        await delivery.disable(context, endpoint_id)
        raise
    return str(context.task_id)


async def _to_mailbox(to_email: str, params: SendParams, context: TaskContext) -> str:
    settings: NotificationSettings = context.settings
    message = messages.compose(
        settings=settings,
        task_id=context.task_id,
        to_email=to_email,
        subject=params.subject,
        text=params.message,
        generated=True,
    )
    await asyncio.to_thread(smtp.send, message, settings)
    return str(message["Message-ID"])
