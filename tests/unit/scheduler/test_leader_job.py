"""A job of the leader survives every failure, pauses after it, and does nothing on a standby."""

from functools import partial
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from taskyard.domain.errors import BrokerFull, BrokerUnavailable, LedgerUnavailable
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.jobs import Dependencies, LeaderJob
from taskyard_scheduler.leader import LeadershipLost
from tests.support.scheduling import Clock


class Candidate:
    leading = True


def make() -> tuple[LeaderJob, Any, Clock, Dependencies]:
    telemetry, clock, candidate = Metrics("scheduler"), Clock(), Candidate()
    dependencies = Dependencies(telemetry.dependency("database"), telemetry.dependency("redis"))
    return LeaderJob("test", candidate, dependencies, clock=clock), candidate, clock, dependencies  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (LedgerUnavailable("x"), ["database"]),
        (BrokerUnavailable("x"), ["redis"]),
        (redis.ConnectionError("x"), ["redis"]),
        (BrokerFull("x"), []),
        (redis.OutOfMemoryError("x"), []),
        (ValueError("x"), []),
    ],
    ids=repr,
)
def test_after_a_failure_it_pauses_for_longer_each_time(error: Exception, away: list[str]) -> None:
    job, _, clock, dependencies = make()
    calls: list[float] = []

    def work() -> None:
        calls.append(clock.now)
        raise error

    for longest in (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        assert job.run(work) is None
        assert longest / 2 <= job.pause_seconds <= longest
        assert job.run(lambda: "too early") is None
        clock.now += longest
    assert len(calls) == 7
    assert [dependency.name for dependency in dependencies if dependency.is_up is False] == away
    assert job.run(lambda: "done") == "done"
    assert job.pause_seconds == 0
    assert job.run(work) is None
    assert job.pause_seconds <= 0.25


class Told:
    """Reports, by name of the error."""

    is_on = True

    def __init__(self) -> None:
        self.errors: list[tuple[str, dict[str, str]]] = []

    def unexpected(self, error: BaseException, **tags: str) -> None:
        self.errors.append((type(error).__name__, tags))

    def task_failed(self, failed: object) -> None: ...

    def lost(self, number: int) -> None: ...

    def stop(self, seconds: float) -> None: ...


def test_an_error_that_is_no_servers_is_reported_once_until_it_succeeds() -> None:
    telemetry, clock, told = Metrics("scheduler"), Clock(), Told()
    dependencies = Dependencies(telemetry.dependency("database"), telemetry.dependency("redis"))
    job = LeaderJob("test", Candidate(), dependencies, reports=told, clock=clock)  # type: ignore[arg-type]

    def fail(error: Exception) -> None:
        raise error

    for error in (LedgerUnavailable("x"), ValueError("x"), ValueError("x")):
        job.run(partial(fail, error))
        clock.now += 10
    assert told.errors == [("ValueError", {"job": "test"})]


def test_a_standby_does_nothing_and_a_lost_lease_causes_no_pause() -> None:
    job, candidate, _, _ = make()

    def lost() -> None:
        raise LeadershipLost

    assert job.run(lost) is None
    assert job.pause_seconds == 0
    candidate.leading = False
    assert job.run(lambda: "done") is None


def test_a_job_that_alone_cannot_use_a_server_says_so_once() -> None:
    """The table that it needs is locked, while others use PostgreSQL as always."""
    job, _, clock, dependencies = make()

    def work() -> None:
        dependencies.database.answered()
        raise LedgerUnavailable("canceling statement due to lock timeout\nSQL: ...")

    with capture_logs() as logs:
        for _ in range(3):
            assert job.run(work) is None
            clock.now += 5.0
    error = "canceling statement due to lock timeout"
    assert logs == [{"event": "job_failed", "log_level": "warning", "job": "test", "error": error}]
    assert dependencies.database.is_up


def test_a_server_that_goes_away_under_a_call_is_not_the_fault_of_the_job() -> None:
    """Another call was answered after this one began, and before the server stopped."""
    job, _, clock, dependencies = make()

    def cut_off() -> None:
        dependencies.broker.answered()
        raise BrokerUnavailable("Connection closed by server.")

    def refused() -> None:
        raise BrokerUnavailable("Connection refused")

    with capture_logs() as logs:
        for work in (cut_off, refused, cut_off):
            job.run(work)
            clock.now += 5.0
    assert logs == []
    assert dependencies.broker.is_up


@pytest.mark.parametrize("error", [BrokerFull("OOM"), redis.OutOfMemoryError("OOM")], ids=repr)
def test_a_full_redis_is_up_and_told_of_once(error: Exception) -> None:
    """Pings in between are answered."""
    job, _, clock, dependencies = make()

    def work() -> None:
        raise error

    dependencies.broker.answered()
    with capture_logs() as logs:
        for _ in range(3):
            job.run(work)
            assert dependencies.broker.is_up
            dependencies.broker.answered()
            clock.now += 5.0
    assert logs == [{"event": "job_failed", "log_level": "warning", "job": "test", "error": "OOM"}]
