"""The leader's counts of the ledger: what they found stays, and they take little of PostgreSQL's time."""

import time
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.store import ledger
from taskyard_scheduler.counts import Count
from taskyard_scheduler.depth import MOST_DEAD_LETTERS, Depth
from tests.support.scheduling import LeaderParts, execute, put_in


@pytest.fixture
def depth(leader: LeaderParts) -> Depth:
    lease, patience = timedelta(seconds=20), timedelta(milliseconds=200)
    return Depth(leader.leadership, leader.depth_metrics, lease=lease, patience=patience, clock=leader.clock)


def queued(leader: LeaderParts) -> float | None:
    return leader.value("queue_tasks", queue="default", state="queued")


def pass_by(leader: LeaderParts, seconds: float) -> None:
    leader.clock.now += seconds
    leader.leadership.campaign()


def test_a_count_that_takes_too_long_is_given_up_and_the_last_one_stays(
    leader: LeaderParts, depth: Depth, engine: Engine
) -> None:
    put_in(engine, 3)
    depth.turn()
    counted_at = leader.value("scheduler_snapshot_timestamp_seconds")
    assert counted_at is not None
    assert abs(time.time() - counted_at) < 60
    put_in(engine, 1)
    with ledger.transaction(engine) as other:
        other.execute(sa.text("LOCK TABLE queue_depth IN ACCESS EXCLUSIVE MODE"))
        depth.turn()  # nothing is raised: PostgreSQL is there, and no dependency of the scheduler is away
    assert queued(leader) == 3
    assert leader.value("scheduler_snapshot_failures_total") == 1
    assert leader.value("scheduler_snapshot_timestamp_seconds") == counted_at
    depth.turn()
    assert queued(leader) == 4
    assert leader.value("scheduler_snapshot_failures_total") == 1


def test_a_scrape_waits_for_no_count(leader: LeaderParts, depth: Depth, engine: Engine) -> None:
    put_in(engine, 3)
    depth.turn()
    with ledger.transaction(engine) as other:
        other.execute(sa.text("LOCK TABLE task, queue_depth, worker IN ACCESS EXCLUSIVE MODE"))
        leader.telemetry.refresh()
        assert queued(leader) == 3


def test_after_a_dear_count_the_next_one_waits_ten_times_as_long_and_a_minute_at_most(leader: LeaderParts) -> None:
    count = Count(
        "test", leader.leadership, leader.depth_metrics.failures, patience=timedelta(seconds=5), clock=leader.clock
    )

    def taking(seconds: float) -> str | None:
        def verb(_: Connection) -> str:
            leader.clock.now += seconds
            return "counted"

        found = count.make(verb)
        leader.leadership.campaign()
        return found

    assert taking(0.5) == "counted"
    pass_by(leader, 4.9)
    assert taking(0) is None
    pass_by(leader, 0.2)
    assert taking(20) == "counted"
    pass_by(leader, 30)
    assert taking(0) is None
    pass_by(leader, 30)
    assert taking(20) == "counted"
    leader.leadership.resign()
    leader.leadership.campaign()
    assert taking(0) == "counted", "a new term has no numbers yet"


def test_a_failed_count_is_told_to_the_job(leader: LeaderParts) -> None:
    count = Count("test", leader.leadership, leader.depth_metrics.failures, patience=timedelta(seconds=5))
    with pytest.raises(sa.exc.ProgrammingError):
        count.make(lambda conn: conn.execute(sa.text("SELECT nothing FROM nowhere")))
    assert leader.value("scheduler_snapshot_failures_total") == 1


def test_dead_letters_of_a_queue_and_type_are_counted_up_to_a_bound(
    leader: LeaderParts, depth: Depth, engine: Engine
) -> None:
    for queue, name in (("default", "a.one"), ("default", "b.two"), ("selection", "a.one")):
        put_in(engine, 2, queue=queue, name=name)
    put_in(engine, MOST_DEAD_LETTERS + 5, name="c.many")
    execute(engine, "UPDATE task SET state = 'failed', finished_at = now()")
    leader.depth_metrics.know({"a.one": "default", "b.two": "default", "c.many": "default"})
    depth.turn()
    for queue, name, number in (
        ("default", "a.one", 2),
        ("default", "b.two", 2),
        ("selection", "a.one", 2),
        ("default", "c.many", MOST_DEAD_LETTERS),
    ):
        assert leader.value("dead_letters", queue=queue, task=name) == number
