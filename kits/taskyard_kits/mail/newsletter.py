"""A newsletter's message for each recipient: the parameters of an `email.send`."""

from __future__ import annotations

import re
from typing import Any

import orjson
from markupsafe import Markup, escape

from taskyard import TaskError
from taskyard.admission.parameters import MAX_PARAMS_BYTES

from . import templates
from .declarations import LONGEST_BODY, Recipient, SendNewsletterParams

# Bounded, so that a text of braces alone is read in linear time.
_PLACEHOLDER = re.compile(r"\{\{([^{}\n]{0,60})\}\}")
_KNOWN = "username"
# The longest name, each letter of which HTML and JSON write with six at most, and the address.
_MOST_BYTES_OF_A_NAME = 600
_ADDRESSES_BYTES = 8 * 1024


def check(params: SendNewsletterParams) -> None:
    """Before anything is sent. Raises TaskError for what no recipient could get."""
    texts = (params.subject, params.text, params.html_content or "")
    names = [name.strip() for text in texts for name in _PLACEHOLDER.findall(text)]
    for name in names:
        if name != _KNOWN:
            raise TaskError("placeholder_unknown", retryable=False, name=f"{{{{ {name} }}}}", known="{{ username }}")
    made = message(params, Recipient(to_email="a@example.org"))
    # The text stands in the HTML again where there is no other.
    more = 2 * len(names) * _MOST_BYTES_OF_A_NAME
    largest = len(orjson.dumps(made)) + more + _ADDRESSES_BYTES
    if largest > MAX_PARAMS_BYTES or max(len(made["text"]), len(made["html_content"])) + more > LONGEST_BODY:
        raise TaskError("newsletter_too_large", retryable=False)


def message(params: SendNewsletterParams, recipient: Recipient) -> dict[str, Any]:
    """In the frame of the recipient's language."""
    unsubscribe_url = recipient.unsubscribe_url or params.unsubscribe_url
    username = recipient.username or ""
    html = params.html_content if (params.html_content or "").strip() else None
    parts = templates.render(
        "newsletter",
        recipient.language or params.language,
        subject=_filled(params.subject, username),
        text=_filled(params.text, username).strip(),
        content=Markup(_filled(html or _paragraphs(params.text), str(escape(username)))),  # noqa: S704
        app_name=params.app_name,
        action_url=None,
        unsubscribe_url=None if unsubscribe_url is None else str(unsubscribe_url),
    )
    return {
        "to_email": recipient.to_email,
        "subject": parts.subject,
        "text": parts.text,
        "html_content": parts.html,
        "reply_to": params.reply_to,
        "unsubscribe_url": None if unsubscribe_url is None else str(unsubscribe_url),
    }


def _filled(text: str, username: str) -> str:
    return _PLACEHOLDER.sub(lambda _: username, text)


def _paragraphs(text: str) -> str:
    blocks = re.split(r"\n[ \t]*\n", str(escape(text.strip().replace("\r\n", "\n"))))
    return "\n".join(f"<p>{block.strip()}</p>".replace("\n", "<br>\n") for block in blocks if block.strip())
