"""Suspects: of several tasks that ran in what died, none pays before it has died alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import State
from taskyard.lifecycle import claim, rescue, workers
from taskyard.lifecycle.rescue import MAX_SUSPICIONS, Guilt, Lost

from .rows import NAME, QUEUE, Worker, attempts, put, read, register

CAUSE = "killed by signal 11 (SIGSEGV)"
A_MINUTE_AGO = sa.func.now() - timedelta(minutes=1)


def claim_alone(worker: Worker, task_id: UUID) -> list[claim.Claimed]:
    return claim.claim(
        worker.conn, [task_id], claim=uuid4(), worker_id=worker.id, worker="w:9", types={NAME: 1}, apart=True
    ).answer


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
    (refusal,) = claim.refusals(conn, [suspect, other], types={NAME: 1})
    assert (refusal.id, refusal.reason) == (suspect, "apart")
    assert claim.set_apart(conn, [QUEUE], types={NAME: 1}) == {suspect: None}
    assert [w.id for w in claim_alone(worker, suspect)] == [suspect]
    assert not claim.set_apart(conn, [QUEUE], types={NAME: 1})


def test_only_suspects_that_can_run_here_and_now_are_looked_for(conn: Connection, worker: Worker) -> None:
    found = put(conn, State.QUEUED, suspicions=2)
    put(conn, State.QUEUED, suspicions=1, name="other.type")
    put(conn, State.QUEUED, suspicions=1, queue="other")
    put(conn, State.QUEUED, suspicions=1, expires_at=sa.func.now() - timedelta(seconds=1))
    put(conn, State.RETRYING, suspicions=1)
    put(conn, State.FAILED, suspicions=1)
    assert claim.set_apart(conn, [QUEUE], types={NAME: 1}) == {found: None}
    conn.execute(sa.text("UPDATE queue SET paused_at = now() WHERE name = :q"), {"q": QUEUE})
    assert not claim.set_apart(conn, [QUEUE], types={NAME: 1})


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
    ids = [put(conn, State.RUNNING, worker_id=worker.id, started_at=A_MINUTE_AGO) for _ in range(3)]
    assert guilt_after_the_loss(worker, listed=ids[:2]) == {
        ids[0]: Guilt.SUSPECT,
        ids[1]: Guilt.SUSPECT,
        ids[2]: Guilt.INNOCENT,
    }


def test_what_was_claimed_since_a_lost_host_s_last_beat_is_suspected_and_convicts_nobody(
    conn: Connection, worker: Worker
) -> None:
    """Whether it had begun nobody knows; it may have ended the host, and not what had run there for long."""
    old, fresh = put(conn, State.RUNNING, worker_id=worker.id, started_at=A_MINUTE_AGO), put(conn, State.QUEUED)
    workers.beat(conn, workers.Beat(worker_id=worker.id, begun=[old]))
    worker.claim([fresh])
    assert guilt_after_the_loss(worker) == {old: Guilt.SUSPECT, fresh: Guilt.SUSPECT}


def test_what_a_stopped_worker_had_claimed_is_innocent(conn: Connection, worker: Worker) -> None:
    """It ended its children before it signed off: what it leaves behind is a claim whose answer came too late."""
    task_id = put(conn, State.QUEUED)
    worker.claim([task_id])
    workers.retire(conn, worker.id)
    assert guilt_after_the_loss(worker) == {task_id: Guilt.INNOCENT}


@pytest.mark.parametrize("neighbours", [0, 1])
def test_a_task_that_ends_its_host_before_a_beat_lists_it_goes_round_no_more_often_than_the_limits_allow(
    conn: Connection, neighbours: int
) -> None:
    task_id = put(conn, State.QUEUED)
    hosts = 0
    while read(conn, task_id).state == "queued" and hosts < 2 * MAX_SUSPICIONS:
        host = Worker(conn, register(conn))
        beside = [put(conn, State.RUNNING, worker_id=host.id, started_at=A_MINUTE_AGO) for _ in range(neighbours)]
        workers.beat(conn, workers.Beat(worker_id=host.id, begun=beside))
        assert host.claim([task_id]) if not hosts else claim_alone(host, task_id)
        rescue.lost_workers(conn, lease=timedelta(0))
        rescue.lose(conn, rescue.orphans(conn), crash_limit=3)
        assert all(read(conn, i).crashes == 0 for i in beside)
        hosts += 1
    row = read(conn, task_id)
    assert (row.state, row.crashes, row.error["code"]) == ("failed", 3, "crash_limit")
    assert hosts == 3 + (MAX_SUSPICIONS if neighbours else 1), "alone on its host it is guilty at once"


def guilt_after_the_loss(worker: Worker, *, listed: Sequence[UUID] = ()) -> dict[UUID, Guilt]:
    if listed:
        workers.beat(worker.conn, workers.Beat(worker_id=worker.id, begun=listed))
    rescue.lost_workers(worker.conn, lease=timedelta(0))
    return {o.task_id: o.guilt for o in rescue.orphans(worker.conn)}
