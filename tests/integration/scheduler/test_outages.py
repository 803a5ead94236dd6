"""The scheduler as a process survives outages of its servers, and restores what they lost."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.store import migrate
from taskyard.store.ledger import make_engine
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.fleet import wait_for
from tests.support.scheduling import Scheduler, execute, put_in, scalar


def test_after_a_flush_a_thousand_tasks_are_published_again_within_seconds_and_once(
    schedulers: Callable[[str], Scheduler], engine: Engine, redis_url: str, redis_client: redis.Redis
) -> None:
    scheduler = schedulers("only")
    names = Names()
    wait_for(lambda: redis_client.exists(names.epoch), seconds=30)
    with make_redis(redis_url) as client:
        publications = put_in(engine, 1000).publications
        Publisher(client, names).publish(publications)
    execute(engine, "DELETE FROM outbox")
    redis_client.flushdb()
    wait_for(lambda: redis_client.llen(names.queue("default")) == 1000)
    wait_for(lambda: redis_client.exists(names.epoch))
    time.sleep(2)
    ids = {p.message_id for p in publications}
    assert set(redis_client.lrange(names.queue("default"), 0, -1)) == ids
    assert redis_client.llen(names.queue("default")) == 1000
    assert set(redis_client.hkeys(names.messages("default"))) == ids
    assert scheduler.metrics()["taskyard_tasks_unaccounted"] == 0


@pytest.mark.timeout(240)
@pytest.mark.slow
@pytest.mark.long
def test_it_survives_outages_of_redis_and_postgresql(
    own_postgres: Postgres, own_valkey: Valkey, tmp_path: Path
) -> None:
    scheduler = Scheduler(tmp_path, "only", TASKYARD_DATABASE_URL=own_postgres.url(), TASKYARD_REDIS_URL=own_valkey.url)
    engine = make_engine(own_postgres.url())
    # Payloads, not the list, in which a task may be twice; that is harmless.
    announced = Names().messages("default")
    try:
        wait_for(lambda: scheduler.said("leading"), seconds=30)

        own_valkey.stop()
        wait_for(lambda: scheduler.said("dependency_down"), seconds=30)
        put_in(engine, 20)
        put_in(engine, 20, delay=1)
        wait_for(lambda: scalar(engine, "SELECT count(*) FROM task WHERE state = 'queued'") == 40)
        execute(engine, "UPDATE outbox SET created_at = created_at - interval '10 seconds'")
        assert scheduler.metrics()['taskyard_dependency_up{dependency="redis"}'] == 0
        own_valkey.start()
        with own_valkey.client() as client:
            wait_for(lambda: client.hlen(announced) == 40, seconds=30)
        wait_for(lambda: scalar(engine, "SELECT count(*) FROM outbox") == 0)

        before = len(scheduler.said("leading"))
        own_postgres.stop()
        time.sleep(6)
        assert scheduler.process.poll() is None
        own_postgres.start()
        engine.dispose()
        wait_for(lambda: len(scheduler.said("leading")) > before, seconds=30)
        assert scheduler.said("ledger_changed")
        assert scheduler.said("rescue_and_reconcile_pause")
        put_in(engine, 5, delay=0.5)
        with own_valkey.client() as client:
            wait_for(lambda: client.hlen(announced) == 45, seconds=30)
        # Once per change, not once per attempt.
        down = [line["dependency"] for line in scheduler.said("dependency_down")]
        assert sorted(down) == ["database", "redis"]
        assert not scheduler.said("job_failed")
    finally:
        scheduler.end()
        engine.dispose()
    assert scheduler.process.returncode == 0


@pytest.mark.long
def test_it_waits_for_the_tables(postgres: Postgres, redis_url: str, tmp_path: Path) -> None:
    url = postgres.create_database("scheduler_before_migrate")
    scheduler = Scheduler(tmp_path, "early", TASKYARD_DATABASE_URL=url, TASKYARD_REDIS_URL=redis_url)
    try:
        wait_for(lambda: scheduler.said("dependency_down"), seconds=30)
        migrate.upgrade(url)
        wait_for(lambda: scheduler.said("leading"), seconds=30)
    finally:
        scheduler.end()
        postgres.drop_database("scheduler_before_migrate")
