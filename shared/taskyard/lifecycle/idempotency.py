"""Idempotency keys: the same request sent again gets the first answer again, and does nothing.

Who loses a key reads the stored answer of who won. `submit_keyed` takes keys and keeps answers in the transaction of
the submit; other calls do it in two steps (`reserve`, then `keep_answers` or `forget`).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..domain.errors import KeyReused, Refused
from ..domain.messages import message

KEPT = timedelta(hours=24)
# A reservation whose answer never came (its process died) may be taken over after this time.
ABANDONED = timedelta(seconds=60)


class AnswerPending(Refused):
    """The first request with this key is still being answered."""

    code = "idempotency_in_progress"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Equal to another one where the key is the same; `fingerprint` tells the same request sent again from another."""

    api_key_id: UUID
    key: str
    fingerprint: bytes = field(compare=False)


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
WHERE k.created_at >= now() - CAST(:kept AS interval)
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


def take(conn: Connection, keys: Sequence[IdempotencyKey]) -> dict[IdempotencyKey, StoredAnswer | Refused]:
    """Takes the keys that are free; returns the answers to the requests that did not get theirs."""
    if not keys:
        return {}
    values = {"batch": _encode(keys), "kept": KEPT, "abandoned": ABANDONED}
    won = {(r.api_key_id, r.key) for r in conn.execute(_TAKE_KEYS, values)}
    return _stored(conn, [key for key in keys if (key.api_key_id, key.key) not in won])


def reserve(conn: Connection, key: IdempotencyKey) -> StoredAnswer | None:
    """Takes the key (None), or gives the answer that was kept under it. Raises KeyReused, AnswerPending."""
    found = take(conn, [key]).get(key)
    if isinstance(found, Refused):
        raise found
    return found


def first_answer(conn: Connection, key: IdempotencyKey) -> StoredAnswer | None:
    """What this very request was answered before, if it was; takes nothing."""
    found = _stored(conn, [key])[key]
    return found if isinstance(found, StoredAnswer) else None


def keep_answers(conn: Connection, answers: Sequence[tuple[IdempotencyKey, StoredAnswer]]) -> None:
    """Stores the answers under keys that were taken, to be given again."""
    if answers:
        batch = [
            {"api_key_id": k.api_key_id, "key": k.key, "status": a.status, "headers": a.headers, "answer": a.body}
            for k, a in answers
        ]
        conn.execute(_KEEP_ANSWERS, {"batch": _encode(batch)})


def forget(conn: Connection, keys: Sequence[IdempotencyKey]) -> None:
    """Gives reserved keys back: the request was refused, and a refusal does not consume its key."""
    if keys:
        conn.execute(_DROP_KEYS, {"batch": _encode(keys)})


def _stored(conn: Connection, keys: Sequence[IdempotencyKey]) -> dict[IdempotencyKey, StoredAnswer | Refused]:
    """The answers to requests that do not have their keys, by the rows that hold these."""
    if not keys:
        return {}
    found = conn.execute(_READ_KEYS, {"batch": _encode(keys), "kept": KEPT})
    rows = {(r.api_key_id, r.key): r for r in found}
    return {key: _judge(key, rows.get((key.api_key_id, key.key))) for key in keys}


def _judge(key: IdempotencyKey, row: Row[Any] | None) -> StoredAnswer | Refused:
    if row is not None and bytes(row.fingerprint) != key.fingerprint:
        return KeyReused(message("This idempotency key came before, with another request."))
    if row is None or row.status is None:
        # None: the request that held it has just been refused; the next try takes it.
        return AnswerPending(message("The first request with this idempotency key is still being answered."))
    return StoredAnswer(row.status, row.headers or {}, bytes(row.answer or b""), replayed=True)


def _encode(rows: Sequence[object]) -> str:
    """Like `batch.encode`, with bytes in base64."""
    return orjson.dumps(rows, default=lambda value: base64.b64encode(value).decode()).decode()
