"""email.*: what is sent to whom; how it is sent stands in mail.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from taskyard.catalogue import email as catalogue
from taskyard.running.context import TaskContext
from taskyard.running.implementations import implements

from . import mail, messages, plain_text, templates


@implements(catalogue.SEND)
def send(params: catalogue.SendParams, context: TaskContext) -> catalogue.Sent:
    html = params.html_content if (params.html_content or "").strip() else None
    text = params.text if (params.text or "").strip() else plain_text.of_html(html or "")
    return _deliver(context, params.to_email, subject=params.subject, text=text, html=html, reply_to=params.reply_to)


@implements(catalogue.SEND_WELCOME)
def send_welcome(params: catalogue.SendWelcomeParams, context: TaskContext) -> catalogue.Sent:
    parts = templates.render(
        "welcome",
        params.language,
        username=params.username,
        app_name=params.app_name,
        action_url=str(params.action_url) if params.action_url else None,
    )
    return _deliver(context, params.to_email, subject=parts.subject, text=parts.text, html=parts.html, generated=True)


def _deliver(context: TaskContext, recipient: str, **parts: Any) -> catalogue.Sent:
    message = messages.compose(settings=context.settings, task_id=context.task_id, to_email=recipient, **parts)
    mail.send(message, context.settings)
    context.log("The mail server took the message over.")
    return catalogue.Sent(recipient=recipient, sent_at=datetime.now(UTC), message_id=str(message["Message-ID"]))
