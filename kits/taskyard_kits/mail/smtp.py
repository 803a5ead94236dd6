"""One conversation with the mail server, and what its answers mean for the task."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage

from taskyard.domain.errors import TaskError

from . import messages
from .settings import MailSettings

# RFC 4954: a login is missing, too weak, wrong, or wants encryption first.
_WANTS_ANOTHER_LOGIN = frozenset({530, 534, 535, 538})


class Unreachable(TaskError, ConnectionError):
    """Not to be connected to, or fell silent: as a ConnectionError it is tried again sooner."""

    def __init__(self) -> None:
        super().__init__("smtp_unreachable")


def send(
    message: EmailMessage,
    settings: MailSettings,
    *,
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> None:
    """Hands the message to the server; returns once it took it over.

    `tls` makes the context for STARTTLS and TLS; by default certificates and host names are checked.

    Raises TaskError: not retryable where the server refused for good (5xx), retryable otherwise.
    """
    recipient = message["To"].addresses[0].addr_spec
    sender = message["From"].addresses[0].addr_spec
    international = not (recipient + sender).isascii()
    content = messages.written(message, international=international)

    with _conversation(settings, tls) as server:
        if international and not server.has_extn("smtputf8"):
            raise TaskError("smtp_unsupported", retryable=False)
        options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        if server.has_extn("size"):
            options.append(f"SIZE={len(content)}")
        _expect(250, "sender", server.mail(sender, options))
        _expect(250, "recipient", server.rcpt(recipient))
        _expect(354, "message", server.docmd("DATA"))
        _hand_over(server, content, settings.smtp_after_data_timeout_seconds)


def _hand_over(server: smtplib.SMTP, content: bytes, seconds: float) -> None:
    """Sends the data and waits for the verdict: a client that gives up too early makes the server get it twice."""
    assert server.sock is not None
    before = server.sock.gettimeout()
    server.sock.settimeout(seconds)
    server.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
    try:
        answer = server.getreply()
    except smtplib.SMTPServerDisconnected as e:
        raise TaskError("smtp_no_verdict") from e
    server.sock.settimeout(before)
    _expect(250, "message", answer)


def greet(settings: MailSettings, *, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
    """Connects, logs in and says goodbye. Raises TaskError like `send`."""
    with _conversation(settings, tls) as server:
        server.noop()


@contextmanager
def _conversation(settings: MailSettings, tls: Callable[[], ssl.SSLContext]) -> Iterator[smtplib.SMTP]:
    with _meaning(), _connected(settings, tls) as server:
        yield server
        # The message is theirs by now: a server that hangs up without a goodbye changes nothing.
        with suppress(smtplib.SMTPException, OSError):
            server.quit()


@contextmanager
def _connected(settings: MailSettings, tls: Callable[[], ssl.SSLContext]) -> Iterator[smtplib.SMTP]:
    if settings.smtp_host is None:
        raise TaskError("smtp_not_configured", retryable=False)
    seconds = settings.smtp_timeout_seconds
    # Not smtplib's `with`: its QUIT raises where the server answers anything but 221.
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=seconds, context=tls())
    else:
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=seconds)
    try:
        server.ehlo_or_helo_if_needed()
        if settings.smtp_security == "starttls":
            server.starttls(context=tls())
            server.ehlo()
        if settings.smtp_user is not None:
            _log_in(server, settings.smtp_user, settings)
        yield server
    finally:
        server.close()


def _log_in(server: smtplib.SMTP, user: str, settings: MailSettings) -> None:
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
    try:
        server.login(user, password)
    except (smtplib.SMTPResponseException, smtplib.SMTPServerDisconnected):
        raise
    except smtplib.SMTPException as e:  # it offers no login, or none that we know
        raise TaskError("smtp_auth_failed", retryable=False) from e


@contextmanager
def _meaning() -> Iterator[None]:
    """smtplib's errors and the socket's, as errors of the task."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as e:
        raise _refusal("login", e.smtp_code, e.smtp_error) from e
    except smtplib.SMTPServerDisconnected as e:
        raise Unreachable from e
    except smtplib.SMTPResponseException as e:
        if isinstance(e.smtp_error, str):  # smtplib's own word: the line was longer than any of SMTP
            raise TaskError("smtp_not_smtp") from e
        raise _refusal("message", e.smtp_code, e.smtp_error) from e
    except smtplib.SMTPNotSupportedError as e:
        # Going on without STARTTLS would lay the message open.
        raise TaskError("smtp_tls_failed", retryable=False, answer={"phrase": "no_starttls"}) from e
    except ssl.SSLError as e:
        reason = e.verify_message if isinstance(e, ssl.SSLCertVerificationError) else (e.reason or "handshake failed")
        raise TaskError("smtp_tls_failed", retryable=False, answer=str(reason)) from e
    except OSError as e:  # refused, timed out, unknown host; SMTPException is an OSError too
        raise Unreachable from e


def _expect(wanted: int, phrase: str, answer: tuple[int, bytes]) -> None:
    code, said = answer
    # RFC 5321, 4.2.1 and 4.3.2: what begins with the same digit means the same (251 for a recipient).
    if code // 100 != wanted // 100:
        raise _refusal(phrase, code, said)


def _refusal(phrase: str, code: int, answer: bytes | str) -> TaskError:
    if code < 0:  # smtplib's word for an answer that does not begin with a number
        return TaskError("smtp_not_smtp")
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    said = f"{code} {' '.join(text.split())[:200]}"
    if code in _WANTS_ANOTHER_LOGIN:
        return TaskError("smtp_auth_failed", retryable=False)
    if 500 <= code < 600:
        return TaskError("smtp_refused", retryable=False, what={"phrase": phrase}, answer=said)
    return TaskError("smtp_temporary", answer=said)
