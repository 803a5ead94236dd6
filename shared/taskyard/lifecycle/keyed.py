"""submit_keyed: requests with an idempotency key, unique keys or ids of their callers' choice, many in one transaction.

Keys are taken in their order, so that two processes never wait for each other in a circle; where they do all the same,
the deadlock is noticed and the whole call repeated. A request that loses its idempotency key gets the winner's stored
answer. One that loses a unique key is told which task holds it, unless it may not see that one, and takes nothing.

Unique keys: at most one task of a type with a key, while it waits or until it ends. A key is a row of its own, freed by
the consequences `freed_waiting_keys` and `freed_keys`; a requeue never takes it again.

Chosen ids: a lock on each is held until the end of the transaction, so that of two requests with the same one the later
sees the task of the earlier. All other ids are random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.errors import IdTaken, KeyReused, NotUnique, Overloaded, Refused
from ..domain.messages import message
from . import idempotency
from .batch import encode
from .committed import Committed
from .idempotency import AnswerPending, IdempotencyKey, StoredAnswer
from .submit import NewTask, SubmittedTask, submit

# A task that is written already has had its key: a repeat after its end would take a key that is never freed again.
_TAKE_UNIQUE = sa.text("""
INSERT INTO unique_key (name, key, task_id, hold)
SELECT x.name, x.key, x.task_id, x.hold
FROM json_to_recordset(CAST(:batch AS json)) AS x(name text, key text, task_id uuid, hold text)
WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = x.task_id)
ORDER BY x.name, x.key
ON CONFLICT (name, key) DO NOTHING
""")

# Without a row, the holder is of this very transaction. Each value is a query of its own, so that it is looked up: of a
# join with tables in which little stands, PostgreSQL plans to read them whole, and the plan is kept.
_HOLDERS = sa.text("""
SELECT x.task_id, x.holder, (SELECT h.queue FROM task h WHERE h.id = x.holder) AS queue
FROM (
    SELECT task_id, (SELECT u.task_id FROM unique_key u WHERE u.name = g.name AND u.key = g.key) AS holder
    FROM json_to_recordset(CAST(:batch AS json)) AS g(name text, key text, task_id uuid)
    OFFSET 0
) x
WHERE x.holder <> x.task_id AND (SELECT t.id FROM task t WHERE t.id = x.task_id) IS NULL
""")

# In one order, as all keys are taken.
_LOCK_IDS = sa.text("""
SELECT pg_advisory_xact_lock(x.lock) FROM (
    SELECT DISTINCT hashtextextended(CAST(id AS text), 0) AS lock FROM unnest(CAST(:ids AS uuid[])) AS c(id) ORDER BY 1
) x
""")

_EXISTING = sa.text("SELECT id FROM task WHERE id = ANY(:ids)")

_DROP_UNIQUE = sa.text("DELETE FROM unique_key WHERE task_id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A caller's submit. `answer` is called once the tasks are written, within the transaction.

    `chosen`: the ids that the caller gave. Such a request needs an idempotency key: without it, a repeat after a commit
    whose answer got lost would be refused for its own task.
    """

    tasks: Sequence[NewTask]
    answer: Callable[[Sequence[SubmittedTask]], StoredAnswer]
    idempotency: IdempotencyKey | None = None
    chosen: Sequence[UUID] = ()


def submit_keyed(conn: Connection, requests: Sequence[KeyedRequest]) -> Committed[list[StoredAnswer | Refused]]:
    """Writes the requests that win their keys; answers each, in their order. `conn` must be in a transaction.

    Harmless when repeated: after a commit whose answer got lost, a repeat finds the stored answer, or its own tasks.
    """
    answers: dict[int, StoredAnswer | Refused] = {}
    repeats = _take_idempotency_keys(conn, requests, answers)
    waiting = [n for n in range(len(requests)) if n not in answers and n not in repeats]
    doubles = _take_ids(conn, requests, waiting, answers)
    waiting = [n for n in waiting if n not in answers and n not in doubles]
    winners: list[int] = []
    while waiting:
        winners += _take_unique_keys(conn, requests, waiting, answers)
        waiting = [n for n in waiting if n not in answers and n not in winners]
    winners.sort()
    tasks = [task for n in winners for task in requests[n].tasks]
    submitted = submit(conn, tasks)
    written = iter(submitted.answer)
    for n in winners:
        answers[n] = requests[n].answer([next(written) for _ in requests[n].tasks])
    _settle(conn, requests, answers)
    for n, (first, task_id) in doubles.items():
        is_written = isinstance(answers[first], StoredAnswer)
        answers[n] = (
            _id_taken(task_id)
            if is_written
            else Overloaded(message("Another request with this id was just refused: try again."))
        )
    _settle(conn, requests, {n: answers[n] for n in doubles})
    for n, (first, is_same) in repeats.items():
        answers[n] = _as_repeat(answers[first], is_same=is_same)
    return submitted.answering([answers[n] for n in range(len(requests))])


def _take_idempotency_keys(
    conn: Connection, requests: Sequence[KeyedRequest], answers: dict[int, StoredAnswer | Refused]
) -> dict[int, tuple[int, bool]]:
    """Answers the requests that lost. Returns those of this batch that repeat the key of an earlier one of it, with
    that one and whether it is the same request.
    """
    first: dict[IdempotencyKey, tuple[int, IdempotencyKey]] = {}
    repeats: dict[int, tuple[int, bool]] = {}
    for n, request in enumerate(requests):
        if (mine := request.idempotency) is not None:
            known, before = first.setdefault(mine, (n, mine))
            if known != n:
                repeats[n] = (known, mine.fingerprint == before.fingerprint)
    for key, answer in idempotency.take(conn, list(first)).items():
        answers[first[key][0]] = answer
    return repeats


def _take_ids(
    conn: Connection,
    requests: Sequence[KeyedRequest],
    waiting: Sequence[int],
    answers: dict[int, StoredAnswer | Refused],
) -> dict[int, tuple[int, UUID]]:
    """Answers the requests that chose the id of a task that exists. Returns those that chose one which an earlier
    request of this batch chose too, with that request and the id.
    """
    doubles: dict[int, tuple[int, UUID]] = {}
    chosen = [task_id for n in waiting for task_id in requests[n].chosen]
    if not chosen:
        return doubles
    conn.execute(_LOCK_IDS, {"ids": chosen})
    taken = set(conn.execute(_EXISTING, {"ids": chosen}).scalars())
    first: dict[UUID, int] = {}
    for n in waiting:
        mine = requests[n].chosen
        if (lost := next((i for i in mine if i in taken), None)) is not None:
            answers[n] = _id_taken(lost)
        elif (lost := next((i for i in mine if i in first), None)) is not None:
            doubles[n] = first[lost], lost
        else:
            first.update(dict.fromkeys(mine, n))
    return doubles


def _id_taken(task_id: UUID) -> IdTaken:
    return IdTaken(message("A task with this id exists."), task_id=task_id)


def _take_unique_keys(
    conn: Connection,
    requests: Sequence[KeyedRequest],
    waiting: Sequence[int],
    answers: dict[int, StoredAnswer | Refused],
) -> list[int]:
    """One round: the requests whose keys no earlier one of this batch wants. Returns those that won all of them."""
    wanted: dict[tuple[str, str], dict[str, object]] = {}
    entered: list[int] = []
    for n in waiting:
        mine = {
            (t.name, t.unique.key): {"name": t.name, "key": t.unique.key, "task_id": t.id, "hold": t.unique.hold}
            for t in requests[n].tasks
            if t.unique
        }
        if wanted.keys().isdisjoint(mine):  # otherwise the next round tells: whether the one before won is known then
            wanted |= mine
            entered.append(n)
    if not wanted:
        return entered
    batch = {"batch": encode(list(wanted.values()))}
    conn.execute(_TAKE_UNIQUE, batch)
    holders = {r.task_id: r for r in conn.execute(_HOLDERS, batch)}
    refused: list[UUID] = []
    for n in entered:
        loser = next((t for t in requests[n].tasks if t.id in holders), None)
        if loser is not None:
            held = holders[loser.id]
            answers[n] = _not_unique(loser, held.holder, held.queue or _queue_of(held.holder, requests))
            refused += [t.id for t in requests[n].tasks if t.unique]
    if refused:
        conn.execute(_DROP_UNIQUE, {"ids": refused})
    return [n for n in entered if n not in answers]


def _queue_of(task_id: UUID, requests: Sequence[KeyedRequest]) -> str | None:
    return next((t.queue for request in requests for t in request.tasks if t.id == task_id), None)


def _not_unique(loser: NewTask, holder: UUID, queue: str | None) -> NotUnique:
    """A key that is restricted to queues is told nothing of the tasks in others."""
    if loser.allowed_queues is None or queue in loser.allowed_queues:
        return NotUnique(message("Another task holds this unique key."), holder=holder)
    return NotUnique(message("A task in a queue that this API key may not see holds this unique key."), holder=None)


def _settle(conn: Connection, requests: Sequence[KeyedRequest], answers: dict[int, StoredAnswer | Refused]) -> None:
    keep: list[tuple[IdempotencyKey, StoredAnswer]] = []
    drop: list[IdempotencyKey] = []
    for n, answer in answers.items():
        match requests[n].idempotency, answer:
            case IdempotencyKey() as key, StoredAnswer(replayed=False):
                keep.append((key, answer))
            case IdempotencyKey() as key, NotUnique() | IdTaken() | Overloaded():
                drop.append(key)
    idempotency.keep_answers(conn, keep)
    idempotency.forget(conn, drop)


def _as_repeat(answer: StoredAnswer | Refused, *, is_same: bool) -> StoredAnswer | Refused:
    """The answer to a request whose key an earlier one of the batch had, which got `answer`."""
    if is_same:
        return replace(answer, replayed=True) if isinstance(answer, StoredAnswer) else answer
    if isinstance(answer, NotUnique | IdTaken | Overloaded | KeyReused):
        return AnswerPending(message("Another request with this idempotency key was just refused: try again."))
    return KeyReused(message("This idempotency key came before, with another request."))
