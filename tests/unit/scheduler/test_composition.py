"""The parts of the scheduler fit together."""

from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.composition import compose


def test_every_job_has_a_thread_and_a_connection_of_its_own() -> None:
    scheduler = compose(Settings(), Metrics("scheduler"))
    assert len(scheduler.jobs._scheduler.get_jobs()) == 13
    assert scheduler.jobs._scheduler._executors["default"]._pool._max_workers == 13
    # All jobs but tick, contact and broker, with promotion, schedules, the relay of applications and the dispatcher;
    # the lease; and what hears of commits.
    assert [engine.pool.size() for engine in scheduler.engines] == [14, 1, 1]  # type: ignore[attr-defined]
    # The promotion, rebuild, missing, broker and maintenance.
    assert scheduler.clients[0].connection_pool.max_connections == 5
    for client in scheduler.clients:
        client.close()
