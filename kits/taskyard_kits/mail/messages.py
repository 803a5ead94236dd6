"""Messages as bytes. Nothing that a caller gives can become a header, or a part, of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any
from uuid import UUID

from taskyard.domain.errors import TaskError

from .settings import MailSettings

_SHORT = 60


class _Verbatim(UnstructuredHeader):
    """A text as it is. The standard class decodes `=?utf-8?q?=0ABcc:...?=` in what it is given, and before
    Python 3.11.10 then writes the line feed out: the author of a subject could add headers.
    """

    name: str  # of the class that the registry mixes in

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        kwds["decoded"] = value
        kwds["parse_tree"] = cls.value_parser("")

    def fold(self, *, policy: Any) -> str:
        text = str(self)
        plain = text.isascii() and text.isprintable() and text == text.strip() and "=?" not in text
        if not plain or len(text) > _SHORT:
            text = Header(text, "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {text}{policy.linesep}"


class _OneLine(_Verbatim):
    """As it is, on one line: the standard class would write an address of more than 78 letters as an encoded word."""

    def fold(self, *, policy: Any) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("subject", _Verbatim)  # type: ignore[arg-type] # typeshed wants the mixture, not its part
_headers.map_to_type("list-unsubscribe", _OneLine)  # type: ignore[arg-type]
_POLICY = policy.SMTP.clone(header_factory=_headers)


def message_id(task_id: UUID, settings: MailSettings) -> str:
    """The same for every attempt of a task, so that a repeat can be recognised."""
    return f"<{task_id}@{_sender(settings).domain or 'localhost'}>"


def compose(
    *,
    settings: MailSettings,
    task_id: UUID,
    to_email: str,
    subject: str,
    text: str,
    html: str | None = None,
    reply_to: str | None = None,
    generated: bool = False,
    unsubscribe_url: str | None = None,
    now: datetime | None = None,
) -> EmailMessage:
    """A message of a text part and, where there is HTML, an HTML part beside it.

    `generated` marks it as made by a machine (RFC 3834), so that no holiday notice answers it. At `unsubscribe_url`, in
    ASCII, a recipient leaves the list (RFC 2369; with one click where it is HTTPS, RFC 8058). The header registry
    encodes what is given and refuses line breaks.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = _sender(settings)
    message["To"] = _address(to_email)
    if reply_to is not None:
        message["Reply-To"] = _address(reply_to)
    message["Subject"] = subject
    message["Date"] = format_datetime(now or datetime.now(UTC))
    message["Message-ID"] = message_id(task_id, settings)
    if generated:
        message["Auto-Submitted"] = "auto-generated"
    if unsubscribe_url is not None:
        message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        if unsubscribe_url.startswith("https:"):
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    # Quoted-printable passes every server: no line is too long, and none needs 8BITMIME.
    message.set_content(text, cte="quoted-printable")
    if html is not None:
        message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def written(message: EmailMessage, *, international: bool) -> bytes:
    """As it goes over the wire, with letters beyond ASCII in addresses where it is `international`.

    Raises TaskError where the headers that were written are not those that were set.
    """
    content = message.as_bytes(policy=_POLICY.clone(utf8=international))
    head = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0].decode() for line in head if not line.startswith((b" ", b"\t"))]
    if names != message.keys():
        raise TaskError("message_invalid", retryable=False)
    return content


def _sender(settings: MailSettings) -> Address:
    name, address = parseaddr(settings.mail_from)
    local, _, domain = address.rpartition("@")
    try:
        return Address(name, local, domain)
    except (ValueError, IndexError):
        raise TaskError("smtp_sender_invalid", retryable=False) from None


def _address(address: str) -> Address:
    # By parts: `addr_spec` would refuse letters beyond ASCII.
    local, _, domain = address.rpartition("@")
    return Address(username=local, domain=domain)
