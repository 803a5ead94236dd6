"""Whatever becomes of Redis: what was answered with 202 is done, once, and nobody starts anything again.

One fleet goes through all of it, over a proxy in front of Redis.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import Postgres, Valkey, servers
from taskyard_worker.slots import AHEAD_PER_THREAD
from tests.support.composed import guard_moves
from tests.support.effects import effects
from tests.support.fleet import Fleet, wait_for
from tests.support.proxy import Proxy
from tests.support.replicas import replica_of, wait_in_step

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

THREADS = 4


@dataclass
class Yard:
    home: Path
    fleet: Fleet
    postgres: Postgres
    valkey: Valkey
    proxy: Proxy
    ids: list[str] = field(default_factory=list)

    def busy(self, seconds: float = 1.5) -> None:
        """Every thread has something to do, so that what follows waits in Redis."""
        before = len(effects(self.fleet.effects))
        self.ids += [self.fleet.submit("tests.effect", {"seconds": seconds}) for _ in range(THREADS)]
        wait_for(lambda: len(effects(self.fleet.effects)) >= before + THREADS, 20, "the threads to be busy")

    def put(self, count: int = 50) -> list[str]:
        """Each is answered with 202, whatever Redis does."""
        made = self.fleet.submit_many(count, "tests.effect")
        self.ids += made
        return made

    def published(self, ids: list[str]) -> None:
        """Waits until Redis has them, or the workers have had them."""
        query = "SELECT count(*) AS n FROM outbox WHERE task_ids && CAST(:ids AS uuid[])"
        # What the API could not publish, because Redis was away a moment ago, the relay does ten seconds later.
        wait_for(lambda: self.fleet.query(query, ids=ids)[0].n == 0, 30, "all to be published")

    def reasons(self, task_id: str) -> list[str]:
        """Why it is where it is, as codes."""
        return [reason["code"] for reason in self.fleet.http.get(f"/tasks/{task_id}/explain").json()["reasons"]]

    def all_done_once(self, seconds: float = 60) -> None:
        done = self.fleet.wait_final(self.ids, seconds)
        assert done == {"succeeded": len(self.ids)}
        assert sorted(effects(self.fleet.effects)) == sorted(self.ids)
        wait_for(lambda: self.unaccounted() == 0, 30, "every task to be accounted for")
        assert all(process.poll() is None for process in self.fleet.processes)

    def unaccounted(self) -> float | None:
        """None while nobody leads."""
        return self.fleet.scheduler_metrics().get("taskyard_tasks_unaccounted")


@pytest.fixture(scope="module")
def running() -> Iterator[Yard]:
    with ExitStack() as exits:
        home = exits.enter_context(temporary("tests"))
        postgres, valkey = exits.enter_context(servers(home, port=0))
        migrate.upgrade(postgres.url())
        proxy = exits.enter_context(Proxy(("127.0.0.1", valkey.port)))
        (home / "logs").mkdir()
        fleet = Fleet(home / "logs", postgres.url(), proxy.through(valkey.url))
        guard_moves(fleet.engine)
        exits.callback(fleet.stop)
        fleet.start_api()
        fleet.start_scheduler()
        fleet.start_worker(threads=THREADS)
        yield Yard(home, fleet, postgres, valkey, proxy)


@pytest.fixture
def yard(running: Yard) -> Yard:
    with running.valkey.client() as client:
        wait_for(lambda: bool(client.exists("taskyard:epoch")), 60, "the epoch to be set")
    running.ids.clear()
    running.fleet.effects.write_text("")
    return running


def test_redis_is_killed_and_started_again(yard: Yard) -> None:
    """The last second of its log may be gone."""
    yard.busy()
    yard.published(yard.put())
    yard.valkey.kill()
    yard.put()
    yard.valkey.start()
    yard.put()
    yard.all_done_once()


def test_every_connection_to_redis_is_cut_again_and_again(yard: Yard) -> None:
    for _ in range(10):
        yard.put(20)
        yard.proxy.cut()
    yard.proxy.slow(0.1)
    yard.put(20)
    yard.proxy.stall()
    yard.put(20)
    time.sleep(2)  # longer than anybody waits for an answer to a publication
    yard.put(20)
    yard.proxy.restore()
    yard.all_done_once()


def test_redis_is_full(yard: Yard) -> None:
    """Workers empty it; what is submitted meanwhile goes out when there is room."""
    yard.busy()
    waiting = yard.put(4 * AHEAD_PER_THREAD * THREADS)
    yard.published(waiting)
    with yard.valkey.client() as client:
        client.config_set("maxmemory", 1)
        try:
            late = yard.put()
            wait_for(lambda: client.llen("taskyard:default") == 0, 20, "the workers to empty it")
            # What was claimed ahead of its turn and given back waits with those for room.
            wait_for(lambda: yard.fleet.states(waiting)["succeeded"] > len(waiting) / 2, 20, "work to go on")
            assert yard.fleet.states(late) == {"queued": len(late)}
            wait_for(lambda: "unpublished" in yard.reasons(late[0]), 40, "the explanation to say why they wait")
        finally:
            client.config_set("maxmemory", "512mb")
    yard.all_done_once()


def test_redis_can_only_be_read(yard: Yard) -> None:
    """A replica that nobody made a master yet."""
    yard.busy()
    yard.published(yard.put())
    with yard.valkey.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        late = yard.put()
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert len(late) == 50
    yard.all_done_once()


def test_redis_comes_back_older_than_postgresql(yard: Yard) -> None:
    """Messages of tasks that are done come again, and those of tasks that wait are not in it."""
    yard.busy()
    yard.published(yard.put())
    yard.valkey.stop()
    copy = yard.home / "older"
    shutil.copytree(yard.valkey.data, copy)
    yard.valkey.start()
    yard.fleet.wait_final(yard.ids, 30)
    yard.busy(3.0)
    lost = yard.put()
    yard.published(lost)
    yard.valkey.kill()
    shutil.rmtree(yard.valkey.data)
    shutil.copytree(copy, yard.valkey.data)
    yard.valkey.start()
    yard.all_done_once()


def test_redis_fails_over_to_a_replica_that_lacks_the_newest(yard: Yard) -> None:
    """Asynchronous replication: the promoted one has never seen the last messages, nor that others were taken.

    It goes away with this test, which therefore is the last."""
    yard.busy(3.0)
    waiting = yard.put(20)
    yard.published(waiting)
    with replica_of(yard.valkey, yard.home / "replica") as replica:
        wait_in_step(yard.valkey, replica)
        with replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        lost = yard.put()
        yard.published(lost)
        yard.proxy.target = ("127.0.0.1", replica.port)
        yard.valkey.kill()
        yard.proxy.cut()
        yard.put()
        yard.all_done_once()
