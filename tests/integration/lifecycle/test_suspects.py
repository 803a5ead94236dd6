"""Suspects: of several tasks that ran in what died, none pays before it has died alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import State
from taskyard.lifecycle import claim, rescue, workers
from taskyard.lifecycle.rescue import MAX_SUSPICIONS, Guilt, Lost

from .rows import NAME, QUEUE, Worker, attempts, put, read

CAUSE = "killed by signal 11 (SIGSEGV)"


def claim_alone(worker: Worker, task_id: UUID) -> list[claim.Claimed]:
    return claim.claim(
        worker.conn, [task_id], claim=uuid4(), worker_id=worker.id, worker="w:9", types=[NAME], alone=True
    )


def test_several_that_had_begun_are_suspects_and_pay_nothing(conn: Connection, worker: Worker) -> None:
    ids = [put(conn, State.RUNNING, worker_id=worker.id) for _ in range(2)]
    waiting = put(conn, State.RUNNING, worker_id=worker.id)
    items = [Lost(i, read(conn, i).claim, Guilt.of_begun(2), CAUSE) for i in ids]
    rescue.lose(conn, [*items, Lost(waiting, read(conn, waiting).claim, Guilt.INNOCENT, CAUSE)], crash_limit=1)
    for task_id in ids:
        row = read(conn, task_id)
        assert (row.state, row.crashes, row.suspicions) == ("queued", 0, 1)
        (attempt,) = attempts(conn, task_id)
        assert (attempt.outcome, attempt.error["code"]) == ("suspected", "crash_suspect")
    assert (read(conn, waiting).suspicions, attempts(conn, waiting)[0].outcome) == (0, "released")


def test_a_suspect_is_claimed_only_where_it_runs_alone(conn: Connection, worker: Worker) -> None:
    suspect, other = put(conn, State.QUEUED, suspicions=1), put(conn, State.QUEUED)
    assert [w.id for w in worker.claim([suspect, other])] == [other]
    (refusal,) = claim.refusals(conn, [suspect, other], types=[NAME])
    assert (refusal.id, refusal.reason) == (suspect, "suspect")
    assert claim.suspects(conn, [QUEUE], types=[NAME]) == [suspect]
    assert [w.id for w in claim_alone(worker, suspect)] == [suspect]
    assert not claim.suspects(conn, [QUEUE], types=[NAME])


def test_only_suspects_that_can_run_here_and_now_are_looked_for(conn: Connection, worker: Worker) -> None:
    found = put(conn, State.QUEUED, suspicions=2)
    put(conn, State.QUEUED, suspicions=1, name="other.type")
    put(conn, State.QUEUED, suspicions=1, queue="other")
    put(conn, State.QUEUED, suspicions=1, expires_at=sa.func.now() - timedelta(seconds=1))
    put(conn, State.RETRYING, suspicions=1)
    put(conn, State.FAILED, suspicions=1)
    assert claim.suspects(conn, [QUEUE], types=[NAME]) == [found]
    conn.execute(sa.text("UPDATE queue SET paused_at = now() WHERE name = :q"), {"q": QUEUE})
    assert not claim.suspects(conn, [QUEUE], types=[NAME])


def test_the_one_that_dies_alone_is_guilty(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED, suspicions=1)
    for crashes in (1, 2, 3):
        (won,) = claim_alone(worker, task_id)
        rescue.lose(conn, [Lost(task_id, won.claim, Guilt.of_begun(1), CAUSE)])
        assert read(conn, task_id).crashes == crashes
    row = read(conn, task_id)
    assert (row.state, row.error["code"]) == ("failed", "crash_limit")


def test_suspicion_has_an_end(conn: Connection, worker: Worker) -> None:
    """Hosts that die again and again make suspects of what never runs alone on them: that is bounded too."""
    task_id = put(conn, State.QUEUED)
    rounds = 0
    while won := claim_alone(worker, task_id):
        rescue.lose(conn, [Lost(task_id, won[0].claim, Guilt.SUSPECT, CAUSE)])
        rounds += 1
    row = read(conn, task_id)
    assert (row.suspicions, row.crashes, row.state) == (MAX_SUSPICIONS, 3, "failed")
    assert rounds == MAX_SUSPICIONS + 3


def test_several_that_had_begun_on_a_lost_host_are_suspects(conn: Connection, worker: Worker) -> None:
    ids = [put(conn, State.RUNNING, worker_id=worker.id) for _ in range(3)]
    workers.beat(conn, workers.Beat(worker_id=worker.id, begun=ids[:2]))
    rescue.lost_workers(conn, lease=timedelta(0))
    assert {o.task_id: o.guilt for o in rescue.orphans(conn)} == {
        ids[0]: Guilt.SUSPECT,
        ids[1]: Guilt.SUSPECT,
        ids[2]: Guilt.INNOCENT,
    }
