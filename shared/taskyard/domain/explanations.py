"""The messages of failures that the platform and its own task types know, by code.

Tasks are stored with the English message. For readers of other languages, the values are parsed out of the stored text
and put into the translated template. So nothing else has to be stored, messages composed in SQL are covered, too, and a
task's own message under one of these codes stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from .errors import TaskError

EXPLANATIONS = {
    # Ends of attempts (lifecycle/rescue.py and lifecycle/promote.py write these in SQL)
    "crash": "The process that ran it ended: {cause}.",
    "crash_limit": "The task ended its process {crashes} times; the last time: {cause}."
    " Look for the reason in its parameters and its log, then retry it.",
    "crash_suspect": "The process that ran it and others ended: {cause}."
    " It runs next alone, to see whether it was the cause.",
    "expired": "It was not finished by {time}. Retry it where it is still wanted.",
    "soft_time_limit": "It ran longer than its soft limit of {seconds} s. Give it a higher limit, or less to do.",
    "hard_time_limit": "It ran longer than its hard limit of {seconds} s and was ended."
    " Give it a higher limit, or less to do.",
    "retry_requested": "The task asked to be tried again.",
    # Parameters and results, checked by the worker
    "params_invalid": "The stored parameters do not fit the task type: {reason}",
    "secret_unreadable": "A secret parameter of this task cannot be read here: {reason}."
    " Ask the operator to check TASKYARD_SECRET_KEYS.",
    "task_unreadable": "The stored task cannot be read: {reason}",
    "result_invalid": "What the task returned does not fit its declared result: {reason}",
    "result_too_large": "The result is larger than 256 KiB: keep it in storage and return its id.",
    "result_not_storable": "What the task returned cannot be stored: {reason}",
    "unknown_queue": "There is no queue {queue}.",
    "queue_not_allowed": "Whoever submitted this task may not use the queue {queue}.",
    # Mail
    "smtp_not_configured": "This installation has no mail server. Ask its operator to set TASKYARD_SMTP_HOST.",
    "smtp_unreachable": "The mail server does not answer. It is tried again; if that goes on, ask the operator.",
    "smtp_temporary": "The mail server cannot take the message now ({answer}). It is tried again later.",
    "smtp_refused": "The mail server refused {what} ({answer}). Check the address and the message, then send it anew.",
    "smtp_auth_failed": "The mail server does not accept this installation's login."
    " Ask its operator to check TASKYARD_SMTP_USER and TASKYARD_SMTP_PASSWORD.",
    "smtp_tls_failed": "There is no safe connection to the mail server: {answer}."
    " Ask the operator to check its certificate and TASKYARD_SMTP_SECURITY.",
    "smtp_unsupported": "The mail server cannot deliver to an address with letters beyond ASCII."
    " Use another address of the recipient.",
    "smtp_sender_invalid": "The sender's address of this installation is not valid."
    " Ask its operator to correct TASKYARD_MAIL_FROM.",
    "message_invalid": "This message cannot be written as a mail. Use plainer words in its subject.",
    # Files
    "item_not_found": "There is no stored file with this id. It may have been deleted: upload it again.",
    "file_missing": "The content of this file is gone. Upload it again.",
    "file_damaged": "The content of this file is not complete. Upload it again.",
    "storage_unavailable": "The files cannot be reached now: {reason}."
    " It is tried again; if that goes on, ask the operator.",
    "image_unsupported": "This file is not an image that can be read here. Use JPEG, PNG, WebP, GIF, TIFF or BMP.",
    "image_too_large": "The image has more than {limit} million pixels. Use a smaller one.",
    "image_damaged": "The image is damaged or not complete. Upload it again.",
    # Drills
    "diagnostic_transient": "This drill fails on purpose; a later attempt will succeed.",
    "diagnostic_permanent": "This drill fails on purpose, and for good.",
}

# Values that are phrases of the platform and have translations; those of the storage are in storage/local.py.
PHRASES = (
    "the recipient",
    "the sender",
    "the login",
    "the message",
    "it does not offer STARTTLS",
    "TASKYARD_SECRET_KEYS is not set: secret parameters cannot be read",
    "none of TASKYARD_SECRET_KEYS opens a secret parameter",
)


def explanation(code: str, **values: object) -> str:
    """The English message. Raises KeyError for an unknown code or a missing value."""
    return EXPLANATIONS[code].format(**values)


def explained(code: str, *, retryable: bool, **values: object) -> TaskError:
    """A failure of a task with the message of its code."""
    return TaskError(code, explanation(code, **values), retryable=retryable)


def values_in(code: str, text: str) -> Mapping[str, str] | None:
    """The values in a text made from the code's template; None for another text."""
    pattern = _patterns().get(code)
    found = pattern.fullmatch(text) if pattern is not None else None
    return None if found is None else found.groupdict()


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {code: re.compile(_as_pattern(template), re.DOTALL) for code, template in EXPLANATIONS.items()}


def _as_pattern(template: str) -> str:
    # re.escape writes a brace as \{ and leaves the name between braces as it is.
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", re.escape(template))
