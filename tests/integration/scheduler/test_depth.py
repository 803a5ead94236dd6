"""The depth of the queues, from one snapshot of the ledger."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prometheus_client import generate_latest
from sqlalchemy import Engine

from taskyard.lifecycle.cancel import cancel
from taskyard.store import ledger
from taskyard_scheduler.depth import Depth
from taskyard_scheduler.retention import Retention
from tests.support.scheduling import LeaderParts, claim_all, execute, make_worker, put_in, scalar
from tests.support.specs import HOSTILE_ROWS, plant, register_worker, spec_named, spec_values


@pytest.fixture
def depth(leader: LeaderParts) -> Depth:
    return Depth(leader.leadership, leader.depth_metrics, lease=timedelta(seconds=20), clock=leader.clock)


def rows(engine: Engine) -> dict[tuple[str, str], int]:
    with engine.connect() as conn:
        found = conn.exec_driver_sql("SELECT queue, state, tasks FROM queue_depth WHERE tasks > 0")
        return {(row.queue, row.state): row.tasks for row in found}


def test_the_snapshot_counts_every_queue_and_state(leader: LeaderParts, depth: Depth, engine: Engine) -> None:
    running = [task.id for task in put_in(engine, 2).answer]
    claim_all(engine, make_worker(engine), running)
    put_in(engine, 3)
    put_in(engine, 4, queue="selection", delay=3600)
    cancelled = put_in(engine, 1).answer[0].id
    ledger.run(engine, lambda conn: cancel(conn, [cancelled]))
    depth.turn()
    expected = {("default", "queued"): 3, ("default", "running"): 2, ("selection", "scheduled"): 4}
    assert rows(engine) == expected
    assert scalar(engine, "SELECT count(DISTINCT taken_at) FROM queue_depth") == 1
    # Zeros are written too: an empty queue must not keep its last depth.
    assert scalar(engine, "SELECT count(*) FROM queue_depth") == 25
    assert leader.value("queue_tasks", queue="default", state="queued") == 3
    assert leader.value("queue_workers", queue="default") == 1

    ledger.run(engine, lambda conn: cancel(conn, [row.id for row in conn.exec_driver_sql("SELECT id FROM task")]))
    depth.turn()
    assert rows(engine) == {("default", "running"): 2}
    assert leader.value("queue_tasks", queue="default", state="queued") == 0


def test_a_paused_queue_is_shown_until_it_is_resumed(leader: LeaderParts, depth: Depth, engine: Engine) -> None:
    for paused_at, shown in (("now()", 1), ("NULL", 0)):
        execute(engine, f"UPDATE queue SET paused_at = {paused_at} WHERE name = 'default'")
        depth.turn()
        assert (leader.value("queue_paused", queue="default"), leader.value("queue_paused", queue="selection")) == (
            shown,
            0,
        )


def test_a_worker_whose_heartbeat_is_overdue_serves_no_queue(leader: LeaderParts, depth: Depth, engine: Engine) -> None:
    make_worker(engine)
    silent = make_worker(engine)
    execute(engine, "UPDATE worker SET beat_at = now() - interval '21 seconds' WHERE id = :id", id=silent)
    depth.turn()
    assert leader.value("queue_workers", queue="default") == 1


def test_the_oldest_waiting_task_is_the_one_that_has_been_queued_longest(
    leader: LeaderParts, depth: Depth, engine: Engine
) -> None:
    """Not the one with the lowest id, which was queued again just now."""
    first, second = (put_in(engine, 1).answer[0].id for _ in range(2))
    execute(engine, "UPDATE task SET queued_at = now() - interval '90 seconds' WHERE id = :id", id=second)
    assert first < second
    depth.turn()
    oldest = leader.value("queue_oldest_timestamp_seconds", queue="default")
    assert oldest is not None
    assert 89 < datetime.now(UTC).timestamp() - oldest < 120
    assert leader.value("queue_oldest_timestamp_seconds", queue="selection") == 0


def test_tasks_of_a_queue_that_is_not_configured_are_counted_together(
    leader: LeaderParts, depth: Depth, engine: Engine
) -> None:
    put_in(engine, 2, queue="left_over")
    depth.turn()
    assert rows(engine) == {("left_over", "queued"): 2}
    assert leader.value("queue_tasks", queue="_other", state="queued") == 2
    execute(engine, "DELETE FROM task")
    depth.turn()
    assert scalar(engine, "SELECT count(*) FROM queue_depth WHERE queue = 'left_over'") == 0
    assert leader.value("queue_tasks", queue="_other", state="queued") == 0


def test_dead_letters_are_counted_until_they_are_discarded(leader: LeaderParts, depth: Depth, engine: Engine) -> None:
    put_in(engine, 2)
    execute(engine, "UPDATE task SET state = 'failed', finished_at = now()")
    depth.turn()
    assert leader.value("dead_letters", queue="default", task="_other") == 2
    execute(engine, "UPDATE task SET discarded_at = now()")
    leader.clock.now += 2
    leader.leadership.campaign()
    depth.turn()
    assert leader.value("dead_letters", queue="default", task="_other") == 2  # counted every 30 s only
    leader.clock.now += 29
    leader.leadership.campaign()
    depth.turn()
    assert leader.value("dead_letters", queue="default", task="_other") == 0


def test_errors_that_came_back_are_counted_until_they_are_solved_again(
    leader: LeaderParts, depth: Depth, engine: Engine
) -> None:
    shown = partial(leader.value, "errors_returned", queue="default")
    depth.turn()
    assert (shown(), leader.value("errors_returned", queue="selection")) == (0, 0)
    for returned_at, expected in (("now()", 1), ("NULL", 0)):
        execute(
            engine,
            "INSERT INTO error_group AS g (id, queue, name, code, place, failures, first_seen_at, last_seen_at,"
            f" task_ids, returned_at) VALUES (CAST(:id AS uuid), 'default', 'n', 'c', '', 1, now(), now(), '{{}}',"
            f" {returned_at}) ON CONFLICT (id) DO UPDATE SET returned_at = excluded.returned_at",
            id="00000000-0000-0000-0000-000000000001",
        )
        leader.clock.now += 31
        leader.leadership.campaign()
        depth.turn()
        assert shown() == expected


def test_a_hostile_row_of_the_registry_harms_no_figure(leader: LeaderParts, depth: Depth, engine: Engine) -> None:
    for n, spec in enumerate(HOSTILE_ROWS.values()):
        plant(engine, spec, name=f"hostile{n}", worker=make_worker(engine))
    plant(engine, json.dumps(spec_values("n" * 2_000)), name="n" * 2_000)
    register_worker(engine, spec_named("own.report"))
    put_in(engine, 2, name="own.report")
    execute(engine, "UPDATE task SET state = 'failed', finished_at = now()")
    depth.turn()
    assert leader.value("dead_letters", queue="default", task="own.report") == 2
    assert max(map(len, generate_latest(leader.telemetry.exposed).splitlines())) < 500, "no label is without bounds"
    execute(engine, "UPDATE worker SET stopped_at = now()")
    execute(engine, "UPDATE task_type SET seen_at = now() - interval '31 days'")
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    assert scalar(engine, "SELECT count(*) FROM task_type WHERE retired_at IS NULL") == 0


def test_a_standby_exports_no_depth(leader: LeaderParts, depth: Depth) -> None:
    shown = partial(leader.value, "queue_tasks", queue="default", state="queued")
    depth.turn()
    assert shown() == 0
    leader.leadership.resign()
    assert shown() is None
    leader.leadership.campaign()
    assert leader.leadership.leading
    assert shown() is None, "the numbers of an earlier term"
    assert leader.value("scheduler_snapshot_timestamp_seconds") == 0
    depth.turn()
    assert shown() == 0
