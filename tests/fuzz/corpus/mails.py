"""Messages."""

from __future__ import annotations

from typing import Any

from . import Body, one_of
from .tasks import submit

_TEXT = "HTML of which no text can be made is a final error with words"
_LINEAR = "text costs time in proportion to its length"
_LINES = "no header is made by what stands in another"
_SENT = one_of("succeeded")
_SENT_OR_TOLD = one_of("succeeded", "html_unreadable", "message_invalid")


def mail(**params: Any) -> bytes:
    return submit("email.send", {"to_email": "a@example.org", "subject": "x", "text": "y", **params})


def _html(name: str, promise: str, html: str, *ends: str) -> Body:
    return Body(name, promise, mail(html_content=html, text=None), 202, one_of(*ends))


MAILS = (
    Body("ordinary", "mails are sent", mail(), 202, _SENT),
    _html("100,000 nines", _TEXT, "&#" + "9" * 100_000, *_SENT_OR_TOLD),
    _html("a reference without a number", _TEXT, "a &# b &#x; &#xD800; &#0; &#1114112;", *_SENT_OR_TOLD),
    _html("links that never close", _LINEAR, "<a " * 60_000, *_SENT_OR_TOLD),
    _html("tags in tags", _LINEAR, "<div>" * 30_000, *_SENT_OR_TOLD),
    _html("comments that never close", _LINEAR, "<!--" * 50_000, *_SENT_OR_TOLD),
    _html("sections that never close", _LINEAR, "<![CDATA[" * 20_000, *_SENT_OR_TOLD),
    _html("scripts only", _TEXT, "<script>x</script>", *_SENT_OR_TOLD),
    _html("one line of 200,000 letters", "lines are as long as SMTP takes", "x" * 200_000, "succeeded"),
    Body("dots", "no line ends a message", mail(text=".\r\n..\r\n.\r\nQUIT\r\n"), 202, _SENT),
    Body("a line in the subject", _LINES, mail(subject="x\r\nBcc: b@example.org"), 422),
    Body("a line in the address", _LINES, mail(to_email="a@example.org\r\nBcc: b@example.org"), 422),
    Body("a line separator in the subject", _LINES, mail(subject="x\u2028y"), 422),
    Body("two addresses", "a mail has one recipient", mail(to_email="a@example.org, b@example.org"), 422),
    Body("an address of a thousand letters", _LINEAR, mail(to_email=f"a@{'x' * 1000}.org"), 422),
    Body("an emoji in the subject", "text is kept", mail(subject="\N{GRINNING FACE}" * 100), 202, _SENT),
    Body("two texts of 200,000 letters", "parameters are bounded", mail(text="x" * 200_000, html_content="y" * 200_000),
         422),
    Body("nothing to say", "what is empty is refused", mail(text=" ", html_content="\u3000"), 422),
)  # fmt: skip
FULL = (
    ("/api/v1/tasks", mail(html_content="<p>a &amp; <b>b</b></p>", reply_to="b@example.org")),
    ("/api/v1/tasks", submit("email.send_welcome", {
        "to_email": "a@example.org", "username": "Eva", "language": "hu", "app_name": "x",
        "action_url": "https://example.org/x?y=1",
    })),
    ("/api/v1/tasks", submit("email.send_verification", {
        "to_email": "a@example.org", "username": "Eva", "token": "abcd1234", "language": "fr",
        "action_url": "https://example.org/x?y=1", "expires_in_minutes": 30,
    })),
    ("/api/v1/tasks", submit("email.send_newsletter", {
        "subject": "x {{ username }}", "text": "y", "html_content": "<p>y", "unsubscribe_url": "https://example.org/",
        "recipients": [{"to_email": "a@example.org", "username": "Eva", "language": "de"}],
    })),
)  # fmt: skip
