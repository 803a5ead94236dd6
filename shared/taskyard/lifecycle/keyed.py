"""submit_keyed: requests with an idempotency key or unique keys, many in one transaction.

Keys are taken in their order, so that two processes never wait for each other in a circle; where they do all the same,
the deadlock is noticed and the whole call repeated. A request that loses its idempotency key gets the winner's stored
answer. One that loses a unique key is told which task holds it, and takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from ..domain.errors import KeyReused, NotUnique, Refused
from . import idempotency, unique
from .committed import Committed
from .idempotency import AnswerPending, IdempotencyKey, StoredAnswer
from .submit import NewTask, SubmittedTask, submit


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A caller's submit. `answer` is called once the tasks are written, within the transaction."""

    tasks: Sequence[NewTask]
    answer: Callable[[Sequence[SubmittedTask]], StoredAnswer]
    idempotency: IdempotencyKey | None = None


def submit_keyed(conn: Connection, requests: Sequence[KeyedRequest]) -> Committed[list[StoredAnswer | Refused]]:
    """Writes the requests that win their keys; answers each, in their order. `conn` must be in a transaction.

    Harmless when repeated: after a commit whose answer got lost, a repeat finds the stored answer, or its own tasks.
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
    written = iter(submitted.answer)
    for n in winners:
        answers[n] = requests[n].answer([next(written) for _ in requests[n].tasks])
    _settle(conn, requests, answers, set(repeats))
    for n, first in repeats.items():
        answers[n] = _as_repeat(requests[n], requests[first], answers[first])
    return submitted.answering([answers[n] for n in range(len(requests))])


def _take_idempotency_keys(
    conn: Connection, requests: Sequence[KeyedRequest], answers: dict[int, StoredAnswer | Refused]
) -> dict[int, int]:
    """Answers the requests that lost; returns those of this batch that repeat an earlier one of it."""
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
    won = idempotency.take(conn, wanted)
    lost = [key for key in wanted if (key.api_key_id, key.key) not in won]
    if lost:
        stored = idempotency.read(conn, lost)
        for key in lost:
            row = stored.get((key.api_key_id, key.key))
            answers[first[key.api_key_id, key.key]] = idempotency.judge(key, row)
    return repeats


def _take_unique_keys(
    conn: Connection,
    requests: Sequence[KeyedRequest],
    waiting: Sequence[int],
    answers: dict[int, StoredAnswer | Refused],
) -> list[int]:
    """One round: the requests whose keys no earlier one of this batch wants. Returns those that won all of them."""
    wanted: dict[tuple[str, str], tuple[int, NewTask]] = {}
    entered: list[int] = []
    for n in waiting:
        mine = [((t.name, t.unique.key), (n, t)) for t in requests[n].tasks if t.unique]
        if any(key in wanted for key, _ in mine):
            continue  # the next round tells, when it is known whether the one before won
        wanted.update(mine)
        entered.append(n)
    holders = unique.take(conn, [task for _, task in wanted.values()])
    refused: list[NewTask] = []
    for n in entered:
        holder = next((holders[t.id] for t in requests[n].tasks if t.id in holders), None)
        if holder is not None:
            answers[n] = NotUnique("Another task holds this unique key.", holder=holder)
            refused += requests[n].tasks
    unique.give_back(conn, refused)
    return [n for n in entered if n not in answers]


def _settle(
    conn: Connection,
    requests: Sequence[KeyedRequest],
    answers: dict[int, StoredAnswer | Refused],
    repeats: set[int],
) -> None:
    keep: list[tuple[IdempotencyKey, StoredAnswer]] = []
    drop: list[IdempotencyKey] = []
    for n, request in enumerate(requests):
        if request.idempotency is None or n in repeats:
            continue
        match answers[n]:
            case StoredAnswer(replayed=False) as answer:
                keep.append((request.idempotency, answer))
            case NotUnique():
                drop.append(request.idempotency)
    idempotency.keep_answers(conn, keep)
    idempotency.forget(conn, drop)


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
