"""the values of stored failures

Failures are told in other languages by their code and values. Those that are stored without values get them out of
their English sentence, by the templates of the release that wrote it. A sentence that fits none stays as it is: readers
fall back to it, as they do for what workers of the release before still write.

No schema changes, so both releases run on it. The rows are visited in the order of their keys, in short transactions;
what was cut off is repeated from the start, and passes over what has its values.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# As they stood in the release before. They are never changed.
SENTENCES = {
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
    "params_invalid": "The stored parameters do not fit the task type: {reason}",
    "secret_unreadable": "A secret parameter of this task cannot be read here: {reason}."
    " Ask the operator to check TASKYARD_SECRET_KEYS.",
    "task_unreadable": "The stored task cannot be read: {reason}",
    "result_invalid": "What the task returned does not fit its declared result: {reason}",
    "result_too_large": "The result is larger than 256 KiB: keep it in storage and return its id.",
    "result_not_storable": "What the task returned cannot be stored: {reason}",
    "unknown_queue": "There is no queue {queue}.",
    "queue_not_allowed": "Whoever submitted this task may not use the queue {queue}.",
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
    "item_not_found": "There is no stored file with this id. It may have been deleted: upload it again.",
    "file_missing": "The content of this file is gone. Upload it again.",
    "file_damaged": "The content of this file is not complete. Upload it again.",
    "storage_unavailable": "The files cannot be reached now: {reason}."
    " It is tried again; if that goes on, ask the operator.",
    "image_unsupported": "This file is not an image that can be read here. Use JPEG, PNG, WebP, GIF, TIFF or BMP.",
    "image_too_large": "The image has more than {limit} million pixels. Use a smaller one.",
    "image_damaged": "The image is damaged or not complete. Upload it again.",
    "diagnostic_transient": "This drill fails on purpose; a later attempt will succeed.",
    "diagnostic_permanent": "This drill fails on purpose, and for good.",
}

# Values that are phrases, with their names.
PHRASES = {
    "the recipient": "recipient",
    "the sender": "sender",
    "the login": "login",
    "the message": "message",
    "it does not offer STARTTLS": "no_starttls",
    "TASKYARD_SECRET_KEYS is not set: secret parameters cannot be read": "secret_keys_unset",
    "none of TASKYARD_SECRET_KEYS opens a secret parameter": "secret_keys_wrong",
    "the storage is full": "storage_full",
    "the storage is full: its quota is used up": "storage_quota",
    "the file is larger than the storage takes": "storage_file_too_large",
    "the storage is read-only": "storage_read_only",
    "the storage may not be written or read by this process": "storage_forbidden",
    "the storage directory is not there": "storage_missing",
    "the storage directory is not a directory": "storage_not_a_directory",
    "a link stands where the storage has a directory or file of its own": "storage_link",
}

_MAX_VALUE = 500
_FIRST_PAGE, _LARGEST_PAGE = 500, 5_000
# A page that took longer is followed by a smaller one. So long is a row locked at most.
_PAGE_SECONDS = 0.5
# A locked row is being changed: it is tried once more after this pause, and then keeps its sentence.
_PAUSE_SECONDS = 0.2

_KEYS = {"task": "uuid", "task_attempt": "int8"}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        conn = op.get_bind()
        for table in _KEYS:
            _fill(conn, table)


def downgrade() -> None:
    """The release before passes over values."""


def _fill(conn: sa.Connection, table: str) -> None:
    """Visits all rows; a page is rows in the order of their keys, whether they have an error or not."""
    # What is inserted meanwhile is left out: where tasks are submitted all the time, there would be no last page.
    until = conn.execute(sa.text(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")).scalar()  # noqa: S608 a constant
    after: Any = None
    size = _FIRST_PAGE
    while True:
        started = time.monotonic()
        rows = conn.execute(_page(table, is_first=after is None), {"after": after, "until": until, "size": size}).all()
        if not rows:
            return
        found = [{"id": row.id, "message": row.message, "values": values} for row, values in _told(rows)]
        missed = _write(conn, table, found)
        if missed:
            time.sleep(_PAUSE_SECONDS)
            _write(conn, table, missed)
        after = rows[-1].id
        took = time.monotonic() - started
        size = max(1, size // 2) if took > _PAGE_SECONDS else min(size * 2, _LARGEST_PAGE)


def _page(table: str, *, is_first: bool) -> sa.TextClause:
    # Two statements, not an OR: its plan would walk from the first row each time.
    beyond = "" if is_first else f"id > CAST(:after AS {_KEYS[table]}) AND"
    return sa.text(f"""
SELECT id, error ->> 'code' AS code, CASE WHEN NOT error ? 'values' THEN error ->> 'message' END AS message
FROM {table} WHERE {beyond} id <= CAST(:until AS {_KEYS[table]}) ORDER BY id LIMIT :size
""")  # noqa: S608 constants only


def _told(rows: Sequence[sa.Row[Any]]) -> Iterator[tuple[sa.Row[Any], Mapping[str, Any]]]:
    for row in rows:
        if row.message is not None and (values := values_in(row.code, row.message)) is not None:
            yield row, values


def _write(conn: sa.Connection, table: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Writes the values of failures that still are what was read; returns those whose row is locked or was changed."""
    if not found:
        return []
    # In the order of the keys, like every statement of the platform: no deadlocks.
    statement = sa.text(f"""
WITH x AS (SELECT * FROM jsonb_to_recordset(CAST(:batch AS jsonb)) AS x(id {_KEYS[table]}, message text, values jsonb)),
locked AS (
    SELECT t.id, x.values FROM {table} t JOIN x ON x.id = t.id
    WHERE t.error ->> 'message' = x.message AND NOT t.error ? 'values'
    ORDER BY t.id FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE {table} t SET error = t.error || jsonb_build_object('values', l.values) FROM locked l WHERE t.id = l.id
RETURNING t.id
""")  # noqa: S608 constants only
    written = {row.id for row in conn.execute(statement, {"batch": json.dumps(found, default=str)})}
    return [failure for failure in found if failure["id"] not in written]


def values_in(code: str, message: str) -> dict[str, Any] | None:
    """The values in a sentence that was made of its code's template; None for another sentence."""
    pattern = _PATTERNS.get(code)
    found = pattern.fullmatch(message) if pattern is not None else None
    return None if found is None else {name: _value(text) for name, text in found.groupdict().items()}


def _value(text: str) -> Any:
    if text in PHRASES:
        return {"phrase": PHRASES[text]}
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def _as_pattern(template: str) -> str:
    # re.escape writes a brace as \{ and leaves the name between braces as it is.
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", re.escape(template))


_PATTERNS = {code: re.compile(_as_pattern(template), re.DOTALL) for code, template in SENTENCES.items()}
