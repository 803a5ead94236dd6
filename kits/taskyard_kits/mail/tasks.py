"""email.*: what is sent to whom; how it is sent stands in smtp.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskyard import TaskContext, TaskError, task

from . import messages, plain_text, smtp, templates
from .declarations import SendParams, SendWelcomeParams, Sent
from .rules import RULES
from .settings import MailSettings
from .words import ERRORS, PHRASES

# Five retries within about half an hour: a greylisting mail server accepts a message after some minutes.
_MAX_ATTEMPTS = 6
# The wait after the data, ten minutes, and the waits before it fit into these.
_SOFT_LIMIT = timedelta(seconds=900)
_HARD_LIMIT = timedelta(seconds=960)


@task(
    "email.send",
    max_attempts=_MAX_ATTEMPTS,
    rules=RULES,
    soft_limit=_SOFT_LIMIT,
    hard_limit=_HARD_LIMIT,
    errors=ERRORS,
    phrases=PHRASES,
)
def send(params: SendParams, *, context: TaskContext) -> Sent:
    """Sends one message, as text and HTML, to one recipient over SMTP."""
    html = params.html_content if (params.html_content or "").strip() else None
    try:
        text = params.text if (params.text or "").strip() else plain_text.of_html(html or "")
    except plain_text.Unreadable:
        raise TaskError("html_unreadable", retryable=False) from None
    return _deliver(context, params.to_email, subject=params.subject, text=text, html=html, reply_to=params.reply_to)


@task(
    "email.send_welcome",
    max_attempts=_MAX_ATTEMPTS,
    rules=RULES,
    soft_limit=_SOFT_LIMIT,
    hard_limit=_HARD_LIMIT,
    errors=ERRORS,
    phrases=PHRASES,
)
def send_welcome(params: SendWelcomeParams, *, context: TaskContext) -> Sent:
    """Sends the welcome message in the recipient's language, as text and HTML."""
    parts = templates.render(
        "welcome",
        params.language,
        username=params.username,
        app_name=params.app_name,
        action_url=str(params.action_url) if params.action_url else None,
    )
    return _deliver(context, params.to_email, subject=parts.subject, text=parts.text, html=parts.html, generated=True)


def _deliver(context: TaskContext, recipient: str, **parts: Any) -> Sent:
    settings: MailSettings = context.settings
    message = messages.compose(settings=settings, task_id=context.task_id, to_email=recipient, **parts)
    smtp.send(message, settings)
    context.log("The mail server took the message over.")
    return Sent(recipient=recipient, sent_at=datetime.now(UTC), message_id=str(message["Message-ID"]))
