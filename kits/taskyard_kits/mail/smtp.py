"""One message, handed over to the mail server."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage

from taskyard.domain.errors import TaskError

from . import messages
from .answers import meaning
from .connections import POOL, Connection, Pool, Tls, connect, key_of
from .settings import MailSettings

# Of a task that sends a message: the wait after the data, ten minutes, and the waits before it fit in. One that ends
# sooner has a slow server deliver the message once for each attempt.
SOFT_LIMIT, HARD_LIMIT = timedelta(seconds=900), timedelta(seconds=960)


def send(
    message: EmailMessage,
    settings: MailSettings,
    *,
    tls: Tls = ssl.create_default_context,
    pool: Pool = POOL,
) -> None:
    """Hands the message to the server; returns once it took it over.

    `tls` makes the context for STARTTLS and TLS; by default certificates and host names are checked.

    Raises TaskError: not retryable where the server refused for good (5xx), retryable otherwise.
    """
    recipient = message["To"].addresses[0].addr_spec
    sender = message["From"].addresses[0].addr_spec
    international = not (recipient + sender).isascii()
    content = messages.written(message, international=international)

    def begin(connection: Connection) -> None:
        server = connection.server
        if international and not server.has_extn("smtputf8"):
            raise TaskError("smtp_unsupported", retryable=False)
        options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        if server.has_extn("size"):
            options.append(f"SIZE={len(content)}")
        connection.ask(250, "sender", lambda: server.mail(sender, options))

    with meaning(), _begun(settings, tls, pool, begin) as connection:
        server = connection.server
        connection.ask(250, "recipient", lambda: server.rcpt(recipient))
        connection.ask(354, "message", lambda: server.docmd("DATA"))
        _hand_over(connection, content, settings)


@contextmanager
def _begun(settings: MailSettings, tls: Tls, pool: Pool, begin: Callable[[Connection], None]) -> Iterator[Connection]:
    """A connection on which the message has begun; given back at the end of the block."""
    kept = pool.take(key_of(settings, tls))
    if kept is not None and not _goes_on(kept, begin):
        kept = None
    connection = kept or connect(settings, tls)
    try:
        if kept is None:
            begin(connection)
        connection.messages += 1
        yield connection
    finally:
        pool.give(connection, idle_seconds=settings.smtp_idle_seconds)


def _goes_on(kept: Connection, begin: Callable[[Connection], None]) -> bool:
    """Whether the message has begun on a connection that was idle. Where not, nothing was sent yet: the message goes
    over a new connection, which also tells what the server has against it."""
    try:
        kept.reset()
        begin(kept)
    except BaseException as e:
        kept.close()
        if isinstance(e, (smtplib.SMTPException, OSError, TaskError)):
            return False
        raise
    return True


def _hand_over(connection: Connection, content: bytes, settings: MailSettings) -> None:
    """Sends the data and waits for the verdict: a client that gives up too early makes the server get it twice."""
    server = connection.server

    def deliver() -> tuple[int, bytes]:
        server.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
        connection.wait(settings.smtp_after_data_timeout_seconds)
        try:
            return server.getreply()
        except smtplib.SMTPServerDisconnected as e:
            raise TaskError("smtp_no_verdict") from e

    connection.ask(250, "message", deliver)


def greet(settings: MailSettings, *, tls: Tls = ssl.create_default_context) -> None:
    """Connects, logs in and says goodbye. Raises TaskError like `send`."""
    with meaning():
        connect(settings, tls).quit()
