"""There is one leader at a time, and a standby follows it within seconds."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import Engine

from taskyard.store import ledger
from taskyard_scheduler.leader import Leadership, LeadershipLost
from tests.support.fleet import once_within, wait_for
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


def pairs(schedulers: Callable[..., Scheduler], **more: str) -> Iterator[tuple[Scheduler, Scheduler]]:
    """A leader and a standby; then the latter, which leads by then, and another."""
    leader = schedulers("scheduler-1", **more)
    wait_for(lambda: leader.said("leading"), seconds=30)
    for n in count(2):
        standby = schedulers(f"scheduler-{n}", **more)
        wait_for(lambda said=standby.said: said("scheduler_started"), seconds=30)  # type: ignore[misc]
        yield leader, standby
        leader = standby


def seconds_to_follow(leader: Scheduler, standby: Scheduler, number: signal.Signals) -> float:
    sent = datetime.now(UTC)
    leader.send(number)
    wait_for(lambda: standby.said("leading"), seconds=60)
    return standby.seconds_to("leading", sent)


def test_a_standby_leads_within_five_seconds_of_the_leaders_death(
    schedulers: Callable[..., Scheduler], engine: Engine
) -> None:
    following = pairs(schedulers)

    def death() -> float:
        leader, standby = next(following)
        # Submitted before, because without a wake-up a leader that has just looked finds it only at its next turn.
        (task,) = put_in(engine, 1, delay=1).answer
        killed = datetime.now(UTC)
        seconds = seconds_to_follow(leader, standby, signal.SIGKILL)
        if seconds < 0:
            return math.inf  # the leader had been held up, and was followed before it died
        queued_at: datetime = wait_for(lambda: scalar(engine, "SELECT queued_at FROM task WHERE id = :id", id=task.id))
        wait_for(lambda: "taskyard_tasks_unaccounted" in standby.metrics())
        return max(seconds, (queued_at - killed).total_seconds() - 1)

    once_within(5, death, "a standby leads")


def test_a_standby_waits_and_a_leader_that_gets_sigterm_hands_over_at_once(
    schedulers: Callable[..., Scheduler],
) -> None:
    following = pairs(schedulers, TASKYARD_LEADER_LEASE_SECONDS="60")

    def handover() -> float:
        first, second = next(following)
        time.sleep(1)
        assert not second.said("leading")
        assert first.metrics()["taskyard_scheduler_is_leader"] == 1
        standby = second.metrics()
        assert standby["taskyard_scheduler_is_leader"] == 0
        # It could lead: it reaches both servers.
        assert [standby[f'taskyard_dependency_up{{dependency="{each}"}}'] for each in ("database", "redis")] == [1, 1]
        # No numbers rather than stale ones.
        assert not [name for name in standby if name.startswith(("taskyard_queue_", "taskyard_broker_"))]
        seconds = seconds_to_follow(first, second, signal.SIGTERM)
        assert first.process.wait(30) == 0
        return seconds

    # A standby asks once a second; without the resignation the lease would last for forty more seconds at least.
    once_within(2, handover, "a standby leads")


def test_a_stopped_leader_that_wakes_up_does_no_harm(schedulers: Callable[..., Scheduler], engine: Engine) -> None:
    # Longer than a busy machine holds up the one that follows.
    first, second = next(pairs(schedulers, TASKYARD_LEADER_LEASE_SECONDS="8"))
    assert seconds_to_follow(first, second, signal.SIGSTOP) < 8 + 8
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
