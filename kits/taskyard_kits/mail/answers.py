"""What the answers of a mail server, and the errors of a connection to it, mean for the task."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from taskyard.domain.errors import Retry, TaskError

# RFC 4954: a login is missing, too weak, wrong, or wants encryption first.
_WANTS_ANOTHER_LOGIN = frozenset({530, 534, 535, 538})
# RFC 6647 has no code of its own for greylisting: servers say it in words, and some say for how long.
_GREYLISTED = re.compile("gr[ae]y[- ]?list", re.IGNORECASE)
_SAID_TIME = re.compile(r"\b([0-9]{1,5}) ?(s|m)(?:ec|in|econds?|inutes?|ecs|ins)?\b", re.IGNORECASE)
_USUAL, _SHORTEST, _LONGEST = timedelta(minutes=5), timedelta(minutes=1), timedelta(hours=1)


class Unreachable(TaskError, ConnectionError):
    """Not to be connected to, or fell silent: as a ConnectionError it is tried again sooner."""

    def __init__(self) -> None:
        super().__init__("smtp_unreachable")


class Greylisted(TaskError, Retry):
    """Refused because it is the first attempt. As a Retry it comes again after the time that the server wants, where a
    random share of the back-off may be over too soon every time.
    """

    def __init__(self, answer: str) -> None:
        super().__init__("smtp_temporary", answer=answer)
        self.after = _wanted(answer)


def expect(wanted: int, phrase: str, code: int, said: bytes) -> None:
    """Raises the TaskError of another answer than `wanted`. `phrase` names what was refused."""
    # RFC 5321, 4.2.1 and 4.3.2: what begins with the same digit means the same (251 for a recipient).
    if code // 100 != wanted // 100:
        raise _refusal(phrase, code, said)


@contextmanager
def meaning() -> Iterator[None]:
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


def _refusal(phrase: str, code: int, answer: bytes | str) -> TaskError:
    if code < 0:  # smtplib's word for an answer that does not begin with a number
        return TaskError("smtp_not_smtp")
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    said = f"{code} {' '.join(text.split())[:200]}"
    if code in _WANTS_ANOTHER_LOGIN:
        return TaskError("smtp_auth_failed", retryable=False)
    if 500 <= code < 600:
        return TaskError("smtp_refused", retryable=False, what={"phrase": phrase}, answer=said)
    if 400 <= code < 500 and _GREYLISTED.search(said):
        return Greylisted(said)
    return TaskError("smtp_temporary", answer=said)


def _wanted(answer: str) -> timedelta:
    said = _SAID_TIME.search(answer[4:])  # behind the code
    if said is None:
        return _USUAL
    unit = timedelta(minutes=1) if said[2].lower() == "m" else timedelta(seconds=1)
    return min(max(int(said[1]) * unit, _SHORTEST), _LONGEST)
