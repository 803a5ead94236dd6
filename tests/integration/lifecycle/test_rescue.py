"""rescue: what becomes of running tasks whose process died."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import State
from taskyard.lifecycle import cancel, rescue, workers
from taskyard.lifecycle.committed import Committed

from .rows import Worker, attempts, outbox, put, read, register

CAUSE = "killed by signal 9 (SIGKILL)"


def lose(
    conn: Connection,
    task_id: UUID,
    guilt: rescue.Guilt = rescue.Guilt.GUILTY,
    *,
    crash_limit: int = 3,
    peak: int | None = None,
) -> Committed[Any]:
    lost = rescue.Lost(task_id, read(conn, task_id).claim, guilt, CAUSE, peak)
    return rescue.lose(conn, [lost], crash_limit=crash_limit)


def test_a_task_that_had_begun_pays_a_crash_and_is_queued_again(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    recorded = lose(conn, task_id, peak=2**33)
    row = read(conn, task_id)
    assert (row.state, row.crashes, row.failures, row.claim, row.worker_id) == ("queued", 1, 0, None, None)
    assert outbox(conn) == {recorded.outbox_ids[0]: {task_id}}
    assert [p.number for p in recorded.publications] == [row.publication] == [2]
    (attempt,) = attempts(conn, task_id)
    assert (attempt.outcome, attempt.cause, attempt.peak_memory_bytes) == ("crashed", CAUSE, 2**33)
    assert attempt.error["code"] == "crash"


def test_a_task_that_had_not_begun_pays_nothing(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id, crashes=2)
    lose(conn, task_id, rescue.Guilt.INNOCENT, crash_limit=1)
    row = read(conn, task_id)
    assert (row.state, row.crashes) == ("queued", 2)
    assert [a.outcome for a in attempts(conn, task_id)] == ["released"]


def test_the_crash_that_reaches_the_limit_makes_a_dead_letter(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id, crashes=2)
    recorded = lose(conn, task_id, crash_limit=3)
    row = read(conn, task_id)
    assert (row.state, row.crashes) == ("failed", 3)
    assert row.error["code"] == "crash_limit"
    assert CAUSE in row.error["message"]
    assert "3 times" in row.error["message"]
    assert not recorded.publications
    assert not outbox(conn)


def test_a_task_goes_round_no_more_often_than_the_limit_allows(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED)
    rounds = 0
    while worker.claim([task_id], apart=True):
        lose(conn, task_id)
        rounds += 1
    assert rounds == 3
    assert read(conn, task_id).state == "failed"


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_request_to_cancel_wins_over_another_run_and_over_the_limit(
    conn: Connection, worker: Worker, crashes: int
) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id, crashes=crashes)
    cancel.cancel(conn, [task_id])
    lose(conn, task_id)
    assert read(conn, task_id).state == "cancelled"
    assert not outbox(conn)


def test_losing_a_claim_twice_is_harmless(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    lost = rescue.Lost(task_id, read(conn, task_id).claim, rescue.Guilt.GUILTY, CAUSE)
    rescue.lose(conn, [lost])
    assert not rescue.lose(conn, [lost]).changes
    assert read(conn, task_id).crashes == 1
    assert rescue.lose(conn, []) == Committed([])


def test_workers_whose_beat_is_overdue_are_lost_once(conn: Connection) -> None:
    late, fine, stopped = (register(conn) for _ in range(3))
    workers.retire(conn, stopped)
    conn.execute(sa.text("UPDATE worker SET beat_at = now() - interval '21 seconds' WHERE id <> :fine"), {"fine": fine})
    assert [i for i, _ in rescue.lost_workers(conn, lease=timedelta(seconds=20))] == [late]
    assert not rescue.lost_workers(conn, lease=timedelta(seconds=20))
    assert rescue.lost_workers(conn, lease=timedelta(0))[0][0] == fine


def test_orphans_are_the_running_tasks_of_workers_that_are_lost_stopped_or_unknown(conn: Connection) -> None:
    alive, lost, stopped = (register(conn) for _ in range(3))
    a_minute_ago = sa.func.now() - timedelta(minutes=1)
    begun, unbegun = (put(conn, State.RUNNING, worker_id=lost, started_at=a_minute_ago) for _ in range(2))
    workers.beat(conn, workers.Beat(worker_id=lost, begun=[begun]))
    conn.execute(sa.text("UPDATE worker SET lost_at = now() WHERE id = :id"), {"id": lost})
    workers.retire(conn, stopped)
    expected = {
        begun: rescue.Guilt.GUILTY,
        unbegun: rescue.Guilt.INNOCENT,
        put(conn, State.RUNNING, worker_id=stopped, queue="other"): rescue.Guilt.INNOCENT,
        put(conn, State.RUNNING, worker_id=new_id(), queue="nobody_configured_this"): rescue.Guilt.INNOCENT,
        put(conn, State.RUNNING, worker_id=None): rescue.Guilt.INNOCENT,
    }
    put(conn, State.RUNNING, worker_id=alive)
    for state in set(State) - {State.RUNNING}:
        put(conn, state)
    found = rescue.orphans(conn)
    assert {o.task_id: o.guilt for o in found} == expected
    assert [o.task_id for o in found] == sorted(expected)
    rescue.lose(conn, found)
    assert not rescue.orphans(conn)


def test_a_rescue_that_was_cut_off_is_taken_up_by_the_next_pass(conn: Connection, worker: Worker) -> None:
    ids = {put(conn, State.RUNNING, worker_id=worker.id) for _ in range(5)}
    rescue.lost_workers(conn, lease=timedelta(0))
    first = rescue.orphans(conn, limit=2)
    rescue.lose(conn, first)
    assert {o.task_id for o in rescue.orphans(conn)} == ids - {o.task_id for o in first}


def test_a_claim_that_moved_on_meanwhile_is_left_alone(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.QUEUED)
    worker.claim([task_id])
    stale = rescue.Lost(task_id, uuid4(), rescue.Guilt.GUILTY, CAUSE)
    assert not rescue.lose(conn, [stale]).changes
    assert read(conn, task_id).state == "running"
