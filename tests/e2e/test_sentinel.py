"""Redis behind a Sentinel: the master dies, its replica is promoted, and the platform goes on by itself."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from taskyard.store import migrate
from taskyard_dev.servers import Postgres, Valkey
from tests.support.composed import guard_moves
from tests.support.effects import effects
from tests.support.fleet import Fleet, wait_for
from tests.support.replicas import SentinelServer, replica_of, wait_in_step

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def watched(server_home: Path) -> Iterator[tuple[Valkey, SentinelServer, Postgres]]:
    with ExitStack() as exits:
        postgres = exits.enter_context(Postgres(server_home / "postgres", port=0))
        migrate.upgrade(postgres.url())
        master = exits.enter_context(Valkey(server_home / "master", port=0))
        replica = exits.enter_context(replica_of(master, server_home / "replica"))
        wait_in_step(master, replica)
        yield master, exits.enter_context(SentinelServer(server_home / "sentinel", master)), postgres


@pytest.mark.long
def test_the_platform_follows_the_sentinel_to_the_next_master(
    watched: tuple[Valkey, SentinelServer, Postgres], tmp_path: Path
) -> None:
    master, sentinel, postgres = watched
    fleet = Fleet(tmp_path, postgres.url(), sentinel.url)
    guard_moves(fleet.engine)
    fleet.environment["TASKYARD_REDIS_SENTINEL_PASSWORD"] = SentinelServer.PASSWORD
    try:
        fleet.start_api()
        fleet.start_scheduler()
        fleet.start_worker()
        ids = [fleet.submit("tests.effect") for _ in range(20)]
        assert fleet.wait_final(ids, 20) == {"succeeded": 20}
        ids += [fleet.submit("tests.effect", {"seconds": 1.0}) for _ in range(4)] + fleet.submit_many(
            20, "tests.effect"
        )
        first = sentinel.master_port()
        master.kill()
        ids += fleet.submit_many(20, "tests.effect")
        wait_for(lambda: sentinel.master_port() != first, 20, "the Sentinel to promote the replica")
        ids += fleet.submit_many(20, "tests.effect")
        assert fleet.wait_final(ids, 40) == {"succeeded": len(ids)}
        assert sorted(effects(fleet.effects)) == sorted(ids)
        wait_for(lambda: fleet.scheduler_metrics().get("taskyard_tasks_unaccounted") == 0, 30, "nothing to be missing")
        assert all(process.poll() is None for process in fleet.processes)
    finally:
        fleet.stop()
