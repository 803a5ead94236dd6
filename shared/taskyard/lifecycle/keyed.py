"""submit_keyed: requests with an idempotency key or unique keys, many in one transaction.

Keys are rows that are taken with ON CONFLICT, in the order of their keys, so that two processes never wait
for each other in a circle (and where they do all the same, the deadlock is noticed and the whole call
repeated). Who loses an idempotency key reads the winner's stored answer; who loses a unique key is told who
holds it, and takes nothing.

`reserve`, `keep_answer` and `forget` are the same for calls other than submits, in two steps.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ..domain.errors import KeyReused, NotUnique, Refused
from .batch import encode
from .submit import NewTask, Submitted, SubmittedTask, submit

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


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """One caller's submit. `answer` is called once the tasks are written, within the transaction."""

    tasks: Sequence[NewTask]
    answer: Callable[[Sequence[SubmittedTask]], StoredAnswer]
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class KeyedOutcome:
    """An answer or a refusal for each request, in their order, and what was written."""

    answers: list[StoredAnswer | Refused]
    submitted: Submitted
    tasks: list[NewTask] = field(default_factory=list)


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

# What is written already has had its key: repeated after its end, it would take a key that nobody frees any more.
_TAKE_UNIQUE = sa.text("""
INSERT INTO unique_key (name, key, task_id, hold)
SELECT x.name, x.key, x.task_id, x.hold
FROM json_to_recordset(CAST(:batch AS json)) AS x(name text, key text, task_id uuid, hold text)
WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = x.task_id)
ORDER BY x.name, x.key
ON CONFLICT (name, key) DO NOTHING
""")

_HOLDERS = sa.text("""
SELECT u.name, u.key, u.task_id
FROM json_to_recordset(CAST(:batch AS json)) AS x(name text, key text, task_id uuid)
JOIN unique_key u USING (name, key)
WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = x.task_id)
""")

_DROP_UNIQUE = sa.text("DELETE FROM unique_key WHERE task_id = ANY(:ids)")


def submit_keyed(conn: Connection, requests: Sequence[KeyedRequest]) -> KeyedOutcome:
    """Writes the requests that win their keys; `conn` must be in a transaction. Harmless when repeated: who
    repeats after a commit whose answer got lost finds the stored answer, or its own tasks.
    """
    answers: dict[int, StoredAnswer | Refused] = {}
    repeats = _take_idempotency_keys(conn, requests, answers)
    waiting = [n for n in range(len(requests)) if n not in answers and n not in repeats]
    winners: list[int] = []
    while waiting:
        winners += _take_unique_keys(conn, requests, waiting, answers)
        waiting = [n for n in waiting if n not in answers and n not in winners]
    winners.sort()
    tasks = [task for n in winners for task in requests[n].tasks]
    submitted = submit(conn, tasks)
    written = iter(submitted.tasks)
    for n in winners:
        answers[n] = requests[n].answer([next(written) for _ in requests[n].tasks])
    _settle(conn, requests, answers, set(repeats))
    for n, first in repeats.items():
        answers[n] = _as_repeat(requests[n], requests[first], answers[first])
    return KeyedOutcome([answers[n] for n in range(len(requests))], submitted, tasks)


def _take_idempotency_keys(
    conn: Connection, requests: Sequence[KeyedRequest], answers: dict[int, StoredAnswer | Refused]
) -> dict[int, int]:
    """Answers those who lost; returns the requests of this batch that repeat an earlier one of it."""
    first: dict[tuple[UUID, str], int] = {}
    repeats: dict[int, int] = {}
    for n, request in enumerate(requests):
        if request.idempotency is not None:
            known = first.setdefault((request.idempotency.api_key_id, request.idempotency.key), n)
            if known != n:
                repeats[n] = known
    if not first:
        return repeats
    wanted = [key for n in first.values() if (key := requests[n].idempotency) is not None]
    won = _take(conn, wanted)
    lost = [key for key in wanted if (key.api_key_id, key.key) not in won]
    if lost:
        stored = _read(conn, lost)
        for key in lost:
            row = stored.get((key.api_key_id, key.key))
            answers[first[key.api_key_id, key.key]] = _judged(key, row)
    return repeats


def _take(conn: Connection, keys: Sequence[IdempotencyKey]) -> set[tuple[UUID, str]]:
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


def _read(conn: Connection, keys: Sequence[IdempotencyKey]) -> dict[tuple[UUID, str], Row[Any]]:
    rows = conn.execute(_READ_KEYS, {"batch": encode([_name(k) for k in keys])})
    return {(r.api_key_id, r.key): r for r in rows}


def _name(key: IdempotencyKey) -> dict[str, Any]:
    return {"api_key_id": key.api_key_id, "key": key.key}


def _judged(key: IdempotencyKey, row: Row[Any] | None) -> StoredAnswer | Refused:
    if row is not None and bytes(row.fingerprint) != key.fingerprint:
        return KeyReused("This idempotency key came before, with another request.")
    if row is None or row.status is None:
        # None: whoever held it has just been refused; the next try takes it.
        return AnswerPending("The first request with this idempotency key is still being answered.")
    return StoredAnswer(row.status, row.headers or {}, bytes(row.answer or b""), replayed=True)


def _take_unique_keys(
    conn: Connection,
    requests: Sequence[KeyedRequest],
    waiting: Sequence[int],
    answers: dict[int, StoredAnswer | Refused],
) -> list[int]:
    """One round: those whose keys nobody before them in this batch wants. Returns who won all of their
    keys.
    """
    wanted: dict[tuple[str, str], tuple[int, NewTask]] = {}
    entered: list[int] = []
    for n in waiting:
        mine = [((t.name, t.unique.key), (n, t)) for t in requests[n].tasks if t.unique]
        if any(key in wanted for key, _ in mine):
            continue  # the next round tells, when it is known whether the one before won
        wanted.update(mine)
        entered.append(n)
    if not wanted:
        return entered
    batch = [
        {"name": name, "key": key, "task_id": task.id, "hold": task.unique.hold if task.unique else None}
        for (name, key), (_, task) in wanted.items()
    ]
    text = encode(batch)
    conn.execute(_TAKE_UNIQUE, {"batch": text})
    holders = {(r.name, r.key): r.task_id for r in conn.execute(_HOLDERS, {"batch": text})}
    for key, (n, task) in wanted.items():
        holder = holders.get(key, task.id)
        if holder != task.id and n not in answers:
            answers[n] = NotUnique("Another task holds this unique key.", holder=holder)
    refused = [t.id for n in entered if n in answers for t in requests[n].tasks if t.unique]
    if refused:
        conn.execute(_DROP_UNIQUE, {"ids": refused})
    return [n for n in entered if n not in answers]


def _settle(
    conn: Connection,
    requests: Sequence[KeyedRequest],
    answers: dict[int, StoredAnswer | Refused],
    repeats: set[int],
) -> None:
    keep: list[dict[str, Any]] = []
    drop: list[dict[str, Any]] = []
    for n, request in enumerate(requests):
        if request.idempotency is None or n in repeats:
            continue
        match answers[n]:
            case StoredAnswer(replayed=False) as answer:
                keep.append(_kept(request.idempotency, answer))
            case NotUnique():
                drop.append(_name(request.idempotency))
    if keep:
        conn.execute(_KEEP_ANSWERS, {"batch": encode(keep)})
    if drop:
        conn.execute(_DROP_KEYS, {"batch": encode(drop)})


def _kept(key: IdempotencyKey, answer: StoredAnswer) -> dict[str, Any]:
    return {
        **_name(key),
        "status": answer.status,
        "headers": answer.headers,
        "answer": base64.b64encode(answer.body).decode(),
    }


def _as_repeat(request: KeyedRequest, first: KeyedRequest, answer: StoredAnswer | Refused) -> StoredAnswer | Refused:
    mine, before = request.idempotency, first.idempotency
    assert mine is not None
    assert before is not None
    if mine.fingerprint != before.fingerprint and not isinstance(answer, NotUnique | KeyReused):
        return KeyReused("This idempotency key came before, with another request.")
    if isinstance(answer, StoredAnswer):
        return StoredAnswer(answer.status, answer.headers, answer.body, replayed=True)
    if mine.fingerprint != before.fingerprint:
        return AnswerPending("Another request with this idempotency key was just refused: try again.")
    return answer


def reserve(conn: Connection, key: IdempotencyKey) -> StoredAnswer | None:
    """Takes the key (None), or gives the answer that was kept under it. Raises KeyReused, AnswerPending."""
    if _take(conn, [key]):
        return None
    found = _judged(key, _read(conn, [key]).get((key.api_key_id, key.key)))
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


def keep_answer(conn: Connection, key: IdempotencyKey, answer: StoredAnswer) -> None:
    conn.execute(_KEEP_ANSWERS, {"batch": encode([_kept(key, answer)])})


def forget(conn: Connection, key: IdempotencyKey) -> None:
    """Gives a reserved key back: the request was refused, and a refusal does not consume it."""
    conn.execute(_DROP_KEYS, {"batch": encode([_name(key)])})
