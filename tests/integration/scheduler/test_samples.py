"""Depths of queues and the load of workers are sampled once a minute, whoever leads."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard.domain.statistics import Window
from taskyard.store import ledger, statistics
from taskyard_scheduler.depth import Depth
from taskyard_scheduler.samples import Samples
from tests.support.scheduling import LeaderParts, claim_all, execute, make_worker, put_in, scalar

LEASE = timedelta(seconds=20)


@pytest.fixture
def samples(leader: LeaderParts) -> Samples:
    return Samples(leader.leadership, lease=LEASE)


def queued(engine: Engine, window: Window) -> list[Any]:
    rows = ledger.run(engine, lambda conn: statistics.of_queue(conn, "default", window))
    return [(row["average"], row["most"]) for row in rows if row["state"] == "queued"]


def one_minute_later(engine: Engine) -> None:
    """The samples so far are a minute older, and still of the same quarter of an hour."""
    execute(engine, "UPDATE queue_sample SET at = at - interval '1 minute' WHERE span = 'hour'")


def test_a_minute_is_sampled_once_also_by_two_leaders(leader: LeaderParts, samples: Samples, engine: Engine) -> None:
    put_in(engine, 2)
    Depth(leader.leadership, leader.depth_metrics, lease=LEASE).turn()
    execute(engine, "UPDATE queue_depth SET taken_at = now() + interval '1 hour'")
    for _ in range(3):  # the minute may change in between, once
        samples.turn()
    assert set(queued(engine, Window.HOUR)) == {(2, 2)}
    assert (
        scalar(
            engine,
            "SELECT sum(samples) FROM queue_sample WHERE span = 'day' AND state = 'queued' AND queue = 'default'",
        )
        == len(queued(engine, Window.HOUR))
        <= 2
    )


def test_longer_windows_tell_the_average_and_the_most(leader: LeaderParts, samples: Samples, engine: Engine) -> None:
    for tasks in (4, 0, 2):
        execute(engine, "DELETE FROM task")
        put_in(engine, tasks)
        with leader.leadership._engine.connect() as conn:
            Depth.snapshot(conn)
        one_minute_later(engine)
        samples.turn()
    assert max(queued(engine, Window.HOUR)) == (4, 4)
    month = "FROM queue_sample WHERE span = 'month' AND state = 'queued' AND queue = 'default'"  # one row, or two
    assert execute(engine, f"SELECT sum(total), sum(samples), max(most) {month}").one() == (6, 3, 4)


def test_depths_that_nobody_counted_lately_are_not_sampled(samples: Samples, engine: Engine) -> None:
    execute(engine, "INSERT INTO queue_depth VALUES ('default', 'queued', 7, NULL, now() - interval '2 minutes')")
    samples.turn()
    assert queued(engine, Window.HOUR) == []


def test_workers_that_live_are_sampled(samples: Samples, engine: Engine) -> None:
    worker, silent = make_worker(engine), make_worker(engine)
    claim_all(engine, worker, [task.id for task in put_in(engine, 2).answer])
    execute(engine, "UPDATE worker SET memory_bytes = 1000")
    execute(engine, "UPDATE worker SET beat_at = now() - interval '21 seconds' WHERE id = :id", id=silent)
    samples.turn()
    samples.turn()
    for row in read(engine, worker):
        assert (row["memory_bytes"], row["running"], row["most_running"]) == (1000, 2.0, 2)
    assert [row["point"] for row in read(engine, silent)] == [None]


def read(engine: Engine, worker: Any) -> list[Any]:
    return ledger.run(engine, lambda conn: statistics.of_worker(conn, worker, Window.DAY))
