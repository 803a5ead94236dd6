"""There is one leader at a time, and a standby follows it within seconds."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from taskyard.store import ledger
from taskyard_scheduler.leader import Leadership, LeadershipLost
from tests.support.fleet import wait_for
from tests.support.scheduling import Clock, LeaderParts, Scheduler, execute, put_in, scalar


def leads(candidate: Leadership) -> bool:
    return candidate.leading


def test_the_epoch_grows_with_each_change_of_leader_and_only_then(leader: LeaderParts) -> None:
    first = leader.leadership.term
    assert first is not None
    leader.leadership.campaign()
    renewed = leader.leadership.term
    assert renewed is not None
    assert renewed.epoch == first.epoch

    other = leader.candidate("other")
    other.campaign()
    assert not other.leading

    leader.leadership.resign()
    other.campaign()
    assert other.term is not None
    assert other.term.epoch == first.epoch + 1


def test_a_leader_that_cannot_renew_stops_before_its_lease_ends(leader: LeaderParts, engine: Engine) -> None:
    left = scalar(engine, "SELECT extract(epoch FROM expires_at - now()) FROM leader")
    assert leader.leadership.leading
    leader.clock.now += float(left) - 0.1
    assert not leader.leadership.leading


def test_a_lease_is_not_taken_before_it_ends_and_then_at_once(leader: LeaderParts, engine: Engine) -> None:
    other = leader.candidate("other", clock=Clock())
    assert 0 < other.campaign() <= 1.0
    assert not other.leading
    execute(engine, "UPDATE leader SET expires_at = now() + interval '500 milliseconds'")
    wait = other.campaign()
    if not leads(other):  # it may have ended by now
        assert wait < 0.6
        time.sleep(wait)
        other.campaign()
    assert leads(other)


def test_a_former_leader_writes_nothing(leader: LeaderParts, engine: Engine) -> None:
    """Its own clock stood still, so only PostgreSQL can show that it was followed."""
    execute(engine, "UPDATE leader SET expires_at = now()")
    other = leader.candidate("other", clock=Clock())
    other.campaign()
    assert other.leading
    assert leader.leadership.leading
    with pytest.raises(LeadershipLost):
        leader.leadership.write(lambda conn: conn.exec_driver_sql("DELETE FROM queue"))
    assert scalar(engine, "SELECT count(*) FROM queue") > 0
    leader.leadership.campaign()
    assert not leader.leadership.leading


def test_a_leader_whose_lease_ran_out_writes_nothing_even_without_a_follower(
    leader: LeaderParts, engine: Engine
) -> None:
    execute(engine, "UPDATE leader SET expires_at = now() - interval '1 second'")
    with pytest.raises(LeadershipLost):
        leader.leadership.write(lambda conn: None)


def test_a_leader_without_redis_is_followed_by_a_standby_that_has_it_and_by_no_other(
    leader: LeaderParts, engine: Engine
) -> None:
    other = leader.candidate("other", clock=Clock())
    leader.leadership.campaign(reaches_broker=False)
    # A moment ago, however slow this test is.
    execute(engine, "UPDATE leader SET broker_lost_at = now() + interval '1 minute'")
    other.campaign()
    assert not leads(other), "it was without Redis for a moment only"
    execute(engine, "UPDATE leader SET broker_lost_at = now() - interval '2 seconds'")
    leader.leadership.campaign(reaches_broker=False)
    other.campaign(reaches_broker=False)
    assert not leads(other), "it does not reach Redis either"
    assert leads(leader.leadership)
    other.campaign()
    assert leads(other)
    with pytest.raises(LeadershipLost):
        leader.leadership.write(lambda conn: conn.exec_driver_sql("DELETE FROM queue"))
    leader.leadership.campaign(reaches_broker=False)
    assert not leads(leader.leadership)


def test_a_leader_that_has_redis_again_goes_on_leading(leader: LeaderParts, engine: Engine) -> None:
    leader.leadership.campaign(reaches_broker=False)
    execute(engine, "UPDATE leader SET broker_lost_at = broker_lost_at - interval '2 seconds'")
    leader.leadership.campaign()
    other = leader.candidate("other", clock=Clock())
    other.campaign()
    assert not leads(other)


def test_rescue_waits_after_a_long_time_without_a_leader(engine: Engine, redis_url: str) -> None:
    """A long gap means that PostgreSQL was unreachable, for the heartbeats of workers too."""
    with LeaderParts(engine, redis_url) as first:
        assert first.leadership.read(first.database.is_settled)
    execute(engine, "UPDATE leader SET expires_at = now() - interval '1 hour'")
    # Shorter than the server's age, or the test would see the pause after its start.
    pause = timedelta(milliseconds=50)
    with LeaderParts(engine, redis_url, pause=pause) as leader:
        assert not leader.leadership.read(leader.database.is_settled)
        leader.clock.now += 0.06
        assert leader.leadership.read(leader.database.is_settled)


def pair(schedulers: Callable[[str], Scheduler]) -> tuple[Scheduler, Scheduler]:
    """A leader and a standby."""
    first = schedulers("first")
    wait_for(lambda: first.said("leading"), seconds=30)
    second = schedulers("second")
    wait_for(lambda: second.said("scheduler_started"), seconds=30)
    return first, second


def test_a_standby_leads_within_five_seconds_of_the_leaders_death(
    schedulers: Callable[[str], Scheduler], engine: Engine
) -> None:
    first, second = pair(schedulers)
    time.sleep(1)
    assert not second.said("leading")
    assert first.metrics()["taskyard_scheduler_is_leader"] == 1
    standby = second.metrics()
    assert standby["taskyard_scheduler_is_leader"] == 0
    # It could lead: it reaches both servers.
    assert [standby[f'taskyard_dependency_up{{dependency="{each}"}}'] for each in ("database", "redis")] == [1, 1]
    # No numbers rather than stale ones.
    assert not [name for name in standby if name.startswith(("taskyard_queue_", "taskyard_broker_"))]

    # Submitted before, because without a wake-up a leader that has just looked finds it only at its next turn.
    put_in(engine, 1, delay=1)
    killed = datetime.now(UTC)
    first.send(signal.SIGKILL)
    wait_for(lambda: second.said("leading"))
    assert second.seconds_to("leading", killed) < 5
    queued_at = wait_for(lambda: scalar(engine, "SELECT queued_at FROM task"))
    assert (queued_at - killed).total_seconds() < 6
    wait_for(lambda: "taskyard_tasks_unaccounted" in second.metrics())


def test_a_leader_that_gets_sigterm_hands_over_at_once(schedulers: Callable[[str], Scheduler]) -> None:
    first, second = pair(schedulers)
    terminated = datetime.now(UTC)
    first.send(signal.SIGTERM)
    wait_for(lambda: second.said("leading"))
    # A standby asks once a second; without the resignation the lease would last for two more seconds at least.
    assert second.seconds_to("leading", terminated) < 2
    assert first.process.wait(30) == 0


def test_a_stopped_leader_that_wakes_up_does_no_harm(schedulers: Callable[[str], Scheduler], engine: Engine) -> None:
    first, second = pair(schedulers)
    stopped = datetime.now(UTC)
    first.send(signal.SIGSTOP)
    wait_for(lambda: second.said("leading"))
    assert second.seconds_to("leading", stopped) < 6
    submitted = put_in(engine, 50, delay=0.5)
    first.send(signal.SIGCONT)
    wait_for(lambda: first.said("leadership_lost"))
    wait_for(lambda: not scalar(engine, "SELECT count(*) FROM task WHERE state <> 'queued'"))
    # Each was promoted once, by one of the two.
    assert scalar(engine, "SELECT count(*) FROM task WHERE publication = 1") == len(submitted.answer)
    assert scalar(engine, "SELECT epoch FROM leader") == 2
    assert not [line for line in (*first.events, *second.events) if line["level"] in {"error", "critical"}]


def test_a_lease_that_cannot_be_read_in_time_does_not_end_the_process(
    schedulers: Callable[[str], Scheduler], engine: Engine
) -> None:
    """A stalled disk, a stopped PostgreSQL or a lock: the statement times out, and the scheduler goes on."""
    scheduler = schedulers("only")
    wait_for(lambda: scheduler.said("leading"), seconds=30)
    with ledger.transaction(engine) as conn:
        conn.exec_driver_sql("SELECT * FROM leader FOR UPDATE")
        wait_for(lambda: scheduler.said("leadership_lost") or scheduler.process.poll() is not None)
    wait_for(lambda: len(scheduler.said("leading")) == 2 or scheduler.process.poll() is not None)
    assert scheduler.process.poll() is None
