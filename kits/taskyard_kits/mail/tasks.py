"""email.*: what is sent to whom; how it is sent stands in smtp.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from taskyard import TaskContext, TaskError, task
from taskyard.running.child import Child
from taskyard_kits import stored_files

from . import messages, newsletter, plain_text, recipients, smtp, templates
from .declarations import (
    NewsletterSubmitted,
    Recipient,
    SendNewsletterParams,
    SendParams,
    SendTokenParams,
    SendWelcomeParams,
    Sent,
)
from .rules import NEWSLETTER, RULES
from .settings import MailSettings
from .words import ERRORS, NEWSLETTER_ERRORS, PHRASES

# Five retries within about half an hour: a greylisting mail server accepts a message after some minutes. The wait after
# the data, ten minutes, and the waits before it fit into the limits.
_task = partial(
    task,
    max_attempts=6,
    rules=RULES,
    soft_limit=timedelta(seconds=900),
    hard_limit=timedelta(seconds=960),
    phrases=PHRASES,
)
# Newsletters wait behind everything else, and so do their messages.
_BEHIND = "low_priority"


@_task("email.send", errors=ERRORS)
def send(params: SendParams, *, context: TaskContext) -> Sent:
    """Sends one message, as text and HTML, to one recipient over SMTP."""
    html = params.html_content if (params.html_content or "").strip() else None
    try:
        text = params.text if (params.text or "").strip() else plain_text.of_html(html or "")
    except plain_text.Unreadable:
        raise TaskError("html_unreadable", retryable=False) from None
    leave = None if params.unsubscribe_url is None else str(params.unsubscribe_url)
    parts = {"subject": params.subject, "text": text, "html": html, "reply_to": params.reply_to}
    return _deliver(context, params.to_email, unsubscribe_url=leave, **parts)


@_task("email.send_welcome", errors=ERRORS)
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


@_task("email.send_verification", errors=ERRORS)
def send_verification(params: SendTokenParams, *, context: TaskContext) -> Sent:
    """Asks the recipient to confirm an address, with a link or a code."""
    return _send_token("verification", params, context)


@_task("email.send_password_reset", queue="high_priority", errors=ERRORS)
def send_password_reset(params: SendTokenParams, *, context: TaskContext) -> Sent:
    """Sends the link or code with which the recipient sets a new password."""
    return _send_token("password_reset", params, context)


@_task(
    "email.send_newsletter",
    queue=_BEHIND,
    rules=(NEWSLETTER,),
    errors={**NEWSLETTER_ERRORS, **stored_files.ERRORS},
    phrases={},
)
def send_newsletter(params: SendNewsletterParams, *, context: TaskContext) -> NewsletterSubmitted:
    """Submits a message to each recipient, and none twice, also where it stops in the middle and goes on."""
    newsletter.check(params)
    if params.item_id is None:
        assert params.recipients is not None
        return _submit_all(params, params.recipients, len(params.recipients), context)
    item = stored_files.find(context, params.item_id)
    with stored_files.opened(context, item) as file:
        count = recipients.counted(file)
    with stored_files.opened(context, item) as file:
        return _submit_all(params, recipients.lines(file), count, context)


def _submit_all(params: SendNewsletterParams, given: Any, count: int, context: TaskContext) -> NewsletterSubmitted:
    walk = recipients.Recipients()
    for batch in context.batches(walk.read(given), total=count, message="Submitting"):
        context.submit_many([_child(params, recipient) for recipient in batch if recipient is not None])
    return walk.counted


def _child(params: SendNewsletterParams, recipient: Recipient) -> Child:
    key = recipients.address_key(recipient)
    return Child("email.send", newsletter.message(params, recipient), queue=_BEHIND, key=key)


def _send_token(template: str, params: SendTokenParams, context: TaskContext) -> Sent:
    token = params.token.reveal()
    parts = templates.render(
        template,
        params.language,
        username=params.username,
        app_name=params.app_name,
        token=token,
        action_url=_with_token(str(params.action_url), token) if params.action_url else None,
        expires_in_minutes=params.expires_in_minutes,
    )
    with _content_untold():
        return _deliver(
            context, params.to_email, subject=parts.subject, text=parts.text, html=parts.html, generated=True
        )


def _with_token(url: str, token: str) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode({"token": token}))))
    return urlunsplit(parts._replace(query=query))


@contextmanager
def _content_untold() -> Iterator[None]:
    """Of a server's answer, which may quote the message, the codes alone: a token that is cut by a line break would not
    be struck out."""
    try:
        yield
    except TaskError as e:
        codes = re.match(r"[2-5][0-9]{2}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3}\b)?", str(e.values.get("answer", "")))
        if codes is not None:
            e.values["answer"] = codes[0]
        raise


def _deliver(context: TaskContext, recipient: str, **parts: Any) -> Sent:
    settings: MailSettings = context.settings
    message = messages.compose(settings=settings, task_id=context.task_id, to_email=recipient, **parts)
    smtp.send(message, settings)
    context.log("The mail server took the message over.")
    return Sent(recipient=recipient, sent_at=datetime.now(UTC), message_id=str(message["Message-ID"]))
