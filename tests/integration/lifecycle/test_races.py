"""Verbs that meet on the same rows: exactly one wins each, and nobody waits in a circle."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import Failed, Outcome, Released, RetryIn, State, Succeeded
from taskyard.lifecycle import cancel, claim, finish, promote, rescue, retry, submit
from taskyard.lifecycle.committed import Committed
from taskyard.store import ledger
from tests.support.databases import WAITING_FOR_A_LOCK

from .rows import FAULT, NAME, PAST, Worker, attempts, new, put, read

T = TypeVar("T")
TASKS, THREADS = 60, 4


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Starts all at the same moment, each in a thread; their answers in order."""
    gate = threading.Barrier(len(calls))

    def start(call: Callable[[], T]) -> T:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def waiting_for_a_lock(conn: Connection) -> bool:
    return bool(conn.execute(sa.text(WAITING_FOR_A_LOCK)).scalar_one())


def behind(
    engine: Engine,
    first: Callable[[Connection], object],
    then: Callable[[Connection], T],
    *,
    meanwhile: Callable[[Connection], object] | None = None,
) -> T:
    """`first` in a transaction; `then` starts in another one, waits for a lock of the first, and goes on after its
    commit. `meanwhile`: what the first one does while it is waited for."""
    with ThreadPoolExecutor(1) as pool, ledger.connection(engine) as watch:
        with ledger.transaction(engine) as holder:
            first(holder)
            later: Future[T] = pool.submit(ledger.run_transaction, engine, then)
            deadline = time.monotonic() + 10
            while not waiting_for_a_lock(watch):
                assert time.monotonic() < deadline, "it never waited for the first one's lock"
                assert not later.done(), later.result()
                time.sleep(0.005)
            if meanwhile:
                meanwhile(holder)
        return later.result(timeout=10)


def test_two_claims_over_the_same_ids_in_other_orders_share_them_out(either: Engine, worker: Worker) -> None:
    ids = [put(worker.conn, State.QUEUED) for _ in range(TASKS)]

    def consume(seed: int) -> list[UUID]:
        shuffled = random.Random(seed).sample(ids, len(ids))
        won: list[UUID] = []
        for start in range(0, TASKS, 7):
            part = shuffled[start : start + 20]

            def verb(conn: Connection, part: list[UUID] = part, claim_id: UUID = uuid4()) -> list[claim.Claimed]:  # noqa: B008
                return claim.claim(conn, part, claim=claim_id, worker_id=worker.id, worker="w", types={NAME: 1}).answer

            won += [c.id for c in ledger.run(either, verb, attempts=1)]
        return won

    shares = together([lambda n=n: consume(n) for n in range(THREADS)])  # type: ignore[misc]
    assert Counter(i for share in shares for i in share) == Counter(ids)
    assert {read(worker.conn, i).attempt for i in ids} == {1}


def test_the_same_claim_asked_from_two_threads_wins_each_task_once(either: Engine, worker: Worker) -> None:
    """A call that timed out here may still be under way there."""
    ids, claim_id = [put(worker.conn, State.QUEUED) for _ in range(TASKS)], uuid4()

    def ask(conn: Connection) -> list[claim.Claimed]:
        return claim.claim(conn, ids, claim=claim_id, worker_id=worker.id, worker="w", types={NAME: 1}).answer

    answers = together([lambda: ledger.run(either, ask) for _ in range(THREADS)])
    assert all(len(won) == TASKS for won in answers)
    assert {read(worker.conn, i).attempt for i in ids} == {1}


def test_every_verb_at_once_on_the_same_rows_ends_without_a_deadlock(engine: Engine, worker: Worker) -> None:
    ids = [put(worker.conn, State.QUEUED) for _ in range(TASKS)]
    stop = time.monotonic() + 1.5
    mine = uuid4()

    def pick(seed: random.Random) -> list[UUID]:
        return seed.sample(ids, 25)

    def claims(conn: Connection, seed: random.Random) -> None:
        claim.claim(conn, pick(seed), claim=mine, worker_id=worker.id, worker="w", types={NAME: 1})

    def finishes(conn: Connection, seed: random.Random) -> None:
        outcomes: list[Outcome] = [Released("x"), RetryIn(FAULT, timedelta(seconds=-1)), Failed(FAULT)]
        finish.finish(conn, [finish.Finished(i, mine, seed.choice(outcomes), 0.1) for i in pick(seed)])

    def loses(conn: Connection, seed: random.Random) -> None:
        rescue.lose(conn, [rescue.Lost(i, mine, rescue.Guilt.GUILTY, "x") for i in pick(seed)])

    verbs: list[Callable[[Connection, random.Random], object]] = [
        claims,
        finishes,
        loses,
        lambda conn, seed: cancel.cancel(conn, pick(seed)),
        lambda conn, seed: retry.retry(conn, pick(seed), life=timedelta(days=1)),
        lambda conn, seed: (promote.promote(conn), promote.expire(conn)),
    ]

    def work(n: int) -> int:
        seed, rounds = random.Random(n), 0
        while not rounds or time.monotonic() < stop:
            # One attempt only: a deadlock would come out of here.
            ledger.run(engine, lambda conn: verbs[n % len(verbs)](conn, seed), attempts=1)
            rounds += 1
        return rounds

    assert min(together([lambda n=n: work(n) for n in range(len(verbs))])) > 0  # type: ignore[misc]


def test_a_request_to_cancel_that_comes_first_wins_over_a_retry(engine: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    end = finish.Finished(task_id, read(worker.conn, task_id).claim, RetryIn(FAULT, timedelta(0)), 0.1)
    recorded = behind(
        engine, lambda conn: cancel.cancel(conn, [task_id]).answer, lambda conn: finish.finish(conn, [end])
    )
    assert [c.state for c in recorded.changes] == [State.CANCELLED]
    assert read(worker.conn, task_id).state == "cancelled"


def test_a_request_to_cancel_that_comes_first_wins_over_a_rescue(engine: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    lost = rescue.Lost(task_id, read(worker.conn, task_id).claim, rescue.Guilt.GUILTY, "x")
    recorded = behind(
        engine, lambda conn: cancel.cancel(conn, [task_id]).answer, lambda conn: rescue.lose(conn, [lost])
    )
    assert [c.state for c in recorded.changes] == [State.CANCELLED]


def test_a_cancel_that_comes_second_tells_the_state_it_found_and_not_one_from_before(
    engine: Engine, worker: Worker
) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    end = finish.Finished(task_id, read(worker.conn, task_id).claim, Succeeded(1), 0.1)
    (said,) = behind(
        engine, lambda conn: finish.finish(conn, [end]), lambda conn: cancel.cancel(conn, [task_id]).answer
    )
    assert (said.before, said.change.state) == (State.SUCCEEDED, State.SUCCEEDED)


def test_a_cancel_that_meets_a_claim_becomes_a_request(engine: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.QUEUED)
    (said,) = behind(
        engine,
        lambda conn: (
            claim.claim(conn, [task_id], claim=uuid4(), worker_id=worker.id, worker="w", types={NAME: 1}).answer
        ),
        lambda conn: cancel.cancel(conn, [task_id]).answer,
    )
    assert (said.before, said.change.state, said.change.attempt) == (State.RUNNING, State.RUNNING, 1)
    assert read(worker.conn, task_id).cancel_requested_at is not None


def test_a_cancel_that_meets_a_release_ends_the_task(engine: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    end = finish.Finished(task_id, read(worker.conn, task_id).claim, Released("drained"))
    (said,) = behind(
        engine, lambda conn: finish.finish(conn, [end]), lambda conn: cancel.cancel(conn, [task_id]).answer
    )
    assert (said.before, said.change.state) == (State.QUEUED, State.CANCELLED)
    assert read(worker.conn, task_id).claim is None


def test_a_cancel_that_meets_a_retry_ends_the_task_again(engine: Engine, conn: Connection) -> None:
    task_id = put(conn, State.FAILED)
    (said,) = behind(
        engine,
        lambda c: retry.retry(c, [task_id], life=timedelta(days=1)),
        lambda c: cancel.cancel(c, [task_id]).answer,
    )
    assert (said.before, said.change.state) == (State.QUEUED, State.CANCELLED)


def test_a_cancel_that_meets_a_back_off_leaves_nothing_due(engine: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    end = finish.Finished(task_id, read(worker.conn, task_id).claim, RetryIn(FAULT, timedelta(hours=1)), 0.1)
    (said,) = behind(
        engine, lambda conn: finish.finish(conn, [end]), lambda conn: cancel.cancel(conn, [task_id]).answer
    )
    assert (said.before, said.change.state) == (State.RETRYING, State.CANCELLED)


def test_a_claim_that_waited_for_another_change_leaves_the_task_to_be_claimed(by_key: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.QUEUED)
    harmless = sa.text("UPDATE task SET tags = '{x}' WHERE id = :id")

    def claims(conn: Connection) -> list[claim.Claimed]:
        return claim.claim(conn, [task_id], claim=uuid4(), worker_id=worker.id, worker="w", types={NAME: 1}).answer

    assert not behind(by_key, lambda conn: conn.execute(harmless, {"id": task_id}), claims)
    assert [r.reason for r in claim.refusals(worker.conn, [task_id], types={NAME: 1}, worker_id=worker.id)] == ["open"]
    assert [work.id for work in ledger.run(by_key, claims)] == [task_id]


def test_a_claim_that_meets_a_cancel_wins_nothing(either: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.QUEUED)
    won = behind(
        either,
        lambda conn: cancel.cancel(conn, [task_id]).answer,
        lambda conn: (
            claim.claim(conn, [task_id], claim=uuid4(), worker_id=worker.id, worker="w", types={NAME: 1}).answer
        ),
    )
    assert not won
    assert read(worker.conn, task_id).state == "cancelled"


def test_of_an_end_and_a_rescue_of_the_same_claim_one_counts(engine: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    held = read(worker.conn, task_id).claim
    recorded = behind(
        engine,
        lambda conn: rescue.lose(conn, [rescue.Lost(task_id, held, rescue.Guilt.GUILTY, "x")]),
        lambda conn: finish.finish(conn, [finish.Finished(task_id, held, Succeeded(1), 0.1)]),
    )
    assert not recorded.changes
    assert [a.outcome for a in attempts(worker.conn, task_id)] == ["crashed"]
    assert read(worker.conn, task_id).state == "queued"


def ended(task_id: UUID, held: UUID) -> finish.Finished:
    """A success that nothing waits for, as nearly all are."""
    return finish.Finished(task_id, held, Succeeded(1), 0.1, calls_back=False, is_step=False, is_limited=False)


def test_successes_are_recorded_beside_other_verbs_without_a_deadlock(by_key: Engine, worker: Worker) -> None:
    """Others lock their rows in the order of the ids."""
    held = uuid4()
    ids = [put(worker.conn, State.RUNNING, worker_id=worker.id, claim=held) for _ in range(600)]

    def ends(conn: Connection, part: list[UUID]) -> int:
        return len(finish.finish(conn, [ended(i, held) for i in part]).answer)

    def asks(conn: Connection, part: list[UUID]) -> int:
        cancel.cancel(conn, part)
        return 0

    def work(n: int) -> int:
        seed = random.Random(n)
        verb = asks if n % 3 == 0 else ends
        parts = [seed.sample(ids, 60) for _ in range(40)] + [ids]
        # One attempt only: a deadlock would come out of here.
        return sum(ledger.run(by_key, lambda conn, part=part: verb(conn, part), attempts=1) for part in parts)  # type: ignore[misc]

    assert sum(together([lambda n=n: work(n) for n in range(6)])) == len(ids)  # type: ignore[misc]
    assert {read(worker.conn, i).state for i in ids} == {"succeeded"}
    assert {len(attempts(worker.conn, i)) for i in ids} == {1}


def test_a_success_wins_over_a_request_to_cancel_that_comes_first(by_key: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    held = read(worker.conn, task_id).claim
    behind(
        by_key,
        lambda conn: cancel.cancel(conn, [task_id]),
        lambda conn: finish.finish(conn, [ended(task_id, held)]),
    )
    found = read(worker.conn, task_id)
    assert (found.state, found.claim, found.result) == ("succeeded", None, 1)
    assert found.cancel_requested_at


def test_a_success_that_meets_a_rescue_of_its_claim_is_fenced_off(by_key: Engine, worker: Worker) -> None:
    task_id = put(worker.conn, State.RUNNING, worker_id=worker.id)
    held = read(worker.conn, task_id).claim

    def rescued_and_claimed(conn: Connection) -> None:
        rescue.lose(conn, [rescue.Lost(task_id, held, rescue.Guilt.INNOCENT, "x")])
        claim.claim(conn, [task_id], claim=uuid4(), worker_id=worker.id, worker="w", types={NAME: 1}, apart=True)

    recorded = behind(by_key, rescued_and_claimed, lambda conn: finish.finish(conn, [ended(task_id, held)]))
    assert not recorded.changes
    assert read(worker.conn, task_id).state == "running"
    assert "succeeded" not in [a.outcome for a in attempts(worker.conn, task_id)]


@pytest.mark.parametrize("verb", [promote.promote, promote.expire])
def test_two_passes_of_the_scheduler_take_each_task_once(
    engine: Engine, conn: Connection, verb: Callable[[Connection], Committed[Any]]
) -> None:
    ids = [put(conn, State.SCHEDULED, due=PAST, expires_at=sa.func.now() + PAST) for _ in range(TASKS)]

    def pass_() -> list[UUID]:
        found: list[UUID] = []
        while changes := ledger.run(engine, lambda c: verb(c, limit=10)).changes:  # type: ignore[call-arg]
            found += [c.task_id for c in changes]
        return found

    answers = together([pass_] * THREADS)
    assert Counter(i for found in answers for i in found) == Counter(ids)


@pytest.mark.parametrize("verb", [submit.submit, submit.submit_first])
def test_the_same_submit_from_two_threads_is_one(
    engine: Engine, conn: Connection, verb: Callable[..., Committed[list[submit.SubmittedTask]]]
) -> None:
    tasks = [new() for _ in range(TASKS)]
    answers = together([lambda: ledger.run(engine, lambda c: verb(c, tasks)) for _ in range(THREADS)])
    assert all([t.id for t in a.answer] == [t.id for t in tasks] for a in answers)
    assert sum(bool(a.outbox_ids) for a in answers) == 1
    assert conn.execute(sa.text("SELECT count(*) FROM task")).scalar_one() == TASKS
