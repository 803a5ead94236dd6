"""Idempotency keys: the same request sent again gets the first answer again, and does nothing.

A key is a row that is taken with ON CONFLICT. Who loses it reads the stored answer of who won. `submit_keyed` takes
keys and keeps answers in the transaction of the submit; other calls do it in two steps (`reserve`, then `keep_answer`
or `forget`).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..domain.errors import KeyReused, Refused
from .batch import encode

KEPT = timedelta(hours=24)
# A reservation whose answer never came (its process died) may be taken over after this time.
ABANDONED = timedelta(seconds=60)


class AnswerPending(Refused):
    """The first request with this key is still being answered."""

    code = "idempotency_in_progress"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`fingerprint` tells the same request sent again from another one under the same key."""

    api_key_id: UUID
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was answered the first time, kept to be answered again."""

    status: int
    headers: dict[str, str]
    body: bytes
    replayed: bool = False


# A kept row is taken over when it is past its time, or when its answer never came to the same request.
_TAKE_KEYS = sa.text("""
INSERT INTO idempotency_key AS k (api_key_id, key, fingerprint)
SELECT x.api_key_id, x.key, decode(x.fingerprint, 'base64')
FROM json_to_recordset(CAST(:batch AS json)) AS x(api_key_id uuid, key text, fingerprint text)
ORDER BY x.api_key_id, x.key
ON CONFLICT (api_key_id, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = NULL, headers = NULL, answer = NULL, created_at = now()
    WHERE k.created_at < now() - CAST(:kept AS interval)
       OR (k.status IS NULL AND k.fingerprint = excluded.fingerprint
           AND k.created_at < now() - CAST(:abandoned AS interval))
RETURNING k.api_key_id, k.key
""")

_READ_KEYS = sa.text("""
SELECT k.api_key_id, k.key, k.fingerprint, k.status, k.headers, k.answer
FROM json_to_recordset(CAST(:batch AS json)) AS x(api_key_id uuid, key text)
JOIN idempotency_key k USING (api_key_id, key)
""")

_KEEP_ANSWERS = sa.text("""
UPDATE idempotency_key k SET status = x.status, headers = x.headers, answer = decode(x.answer, 'base64')
FROM json_to_recordset(CAST(:batch AS json)) AS x(api_key_id uuid, key text, status int2, headers jsonb, answer text)
WHERE k.api_key_id = x.api_key_id AND k.key = x.key
""")

_DROP_KEYS = sa.text("""
DELETE FROM idempotency_key k USING json_to_recordset(CAST(:batch AS json)) AS x(api_key_id uuid, key text)
WHERE k.api_key_id = x.api_key_id AND k.key = x.key AND k.status IS NULL
""")


def take(conn: Connection, keys: Sequence[IdempotencyKey]) -> set[tuple[UUID, str]]:
    """Takes the keys that are free; returns (API key, key) of those."""
    batch = [
        {
            "api_key_id": k.api_key_id,
            "key": k.key,
            "fingerprint": base64.b64encode(k.fingerprint).decode(),
        }
        for k in keys
    ]
    rows = conn.execute(_TAKE_KEYS, {"batch": encode(batch), "kept": KEPT, "abandoned": ABANDONED})
    return {(r.api_key_id, r.key) for r in rows}


def read(conn: Connection, keys: Sequence[IdempotencyKey]) -> dict[tuple[UUID, str], Row[Any]]:
    """What is stored under the keys."""
    rows = conn.execute(_READ_KEYS, {"batch": encode([key_row(k) for k in keys])})
    return {(r.api_key_id, r.key): r for r in rows}


def key_row(key: IdempotencyKey) -> dict[str, Any]:
    return {"api_key_id": key.api_key_id, "key": key.key}


def judge(key: IdempotencyKey, row: Row[Any] | None) -> StoredAnswer | Refused:
    """The answer to a request that did not get its key, by the row that holds it."""
    if row is not None and bytes(row.fingerprint) != key.fingerprint:
        return KeyReused("This idempotency key came before, with another request.")
    if row is None or row.status is None:
        # None: the request that held it has just been refused; the next try takes it.
        return AnswerPending("The first request with this idempotency key is still being answered.")
    return StoredAnswer(row.status, row.headers or {}, bytes(row.answer or b""), replayed=True)


def kept_row(key: IdempotencyKey, answer: StoredAnswer) -> dict[str, Any]:
    return {
        **key_row(key),
        "status": answer.status,
        "headers": answer.headers,
        "answer": base64.b64encode(answer.body).decode(),
    }


def reserve(conn: Connection, key: IdempotencyKey) -> StoredAnswer | None:
    """Takes the key (None), or gives the answer that was kept under it. Raises KeyReused, AnswerPending."""
    if take(conn, [key]):
        return None
    found = judge(key, read(conn, [key]).get((key.api_key_id, key.key)))
    if isinstance(found, Refused):
        raise found
    return found


_FIRST_ANSWER = sa.text("""
SELECT status, headers, answer FROM idempotency_key
WHERE api_key_id = :api_key_id AND key = :key AND fingerprint = :fingerprint AND status IS NOT NULL
    AND created_at >= now() - CAST(:kept AS interval)
""")


def first_answer(conn: Connection, key: IdempotencyKey) -> StoredAnswer | None:
    """What this very request was answered before, if it was; takes nothing."""
    values = {"api_key_id": key.api_key_id, "key": key.key, "fingerprint": key.fingerprint, "kept": KEPT}
    row = conn.execute(_FIRST_ANSWER, values).first()
    return None if row is None else StoredAnswer(row.status, row.headers or {}, bytes(row.answer or b""), replayed=True)


def keep_answers(conn: Connection, answers: Sequence[tuple[IdempotencyKey, StoredAnswer]]) -> None:
    """Stores the answers under keys that were taken, to be given again."""
    if answers:
        conn.execute(_KEEP_ANSWERS, {"batch": encode([kept_row(key, answer) for key, answer in answers])})


def forget(conn: Connection, keys: Sequence[IdempotencyKey]) -> None:
    """Gives reserved keys back: the request was refused, and a refusal does not consume its key."""
    if keys:
        conn.execute(_DROP_KEYS, {"batch": encode([key_row(key) for key in keys])})
