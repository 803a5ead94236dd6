"""Whatever becomes of PostgreSQL: what was answered with 202 is done, apart from what PostgreSQL itself lost.

One fleet goes through all of it, over a proxy in front of PostgreSQL.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import Postgres, servers
from tests.support.effects import effects
from tests.support.fleet import Fleet, repeating, wait_for
from tests.support.proxy import Proxy
from tests.support.replicas import copy_data, promote, standby_of, wait_streaming

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

THREADS = 4


@dataclass
class Yard:
    home: Path
    fleet: Fleet
    postgres: Postgres
    proxy: Proxy
    exits: ExitStack

    def submit(self, count: int, seconds: float = 0.0) -> list[str]:
        """In one request: what follows has as long as the tasks take."""
        return self.fleet.submit_many(count, "tests.effect", {"seconds": seconds})

    def begun(self, ids: list[str]) -> None:
        wait_for(lambda: set(ids) <= set(effects(self.fleet.effects)), 30, "the tasks to begin")

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.fleet.http.get("/tasks", params={"limit": 1}).status_code == 200
        return False

    def wait_answers(self) -> None:
        wait_for(self.answers, 40, "the API to answer again")
        self.fleet.engine.dispose()  # the test's own connections

    def refuses_with_503(self) -> None:
        """Reads and submits, while PostgreSQL is away."""
        for answer in (
            self.fleet.http.get("/tasks"),
            self.fleet.http.post("/tasks", json={"name": "tests.effect", "params": {}}),
        ):
            assert answer.status_code == 503
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert int(answer.headers["retry-after"]) >= 1

    def follow(self, name: str) -> tuple[Postgres, Proxy]:
        """A standby that streams from the primary, and what it streams over."""
        replication = self.exits.enter_context(Proxy(("127.0.0.1", self.postgres.port)))
        self.postgres.stop()
        standby = standby_of(self.postgres, self.home / name, through=replication.port)
        self.postgres.start()
        self.exits.enter_context(standby)
        self.wait_answers()
        wait_streaming(self.postgres)
        return standby, replication

    def fail_over(self, standby: Postgres) -> None:
        """Kills the primary; who connects reaches the standby as soon as it is promoted."""
        self.postgres.kill()
        self.proxy.refuse()
        self.refuses_with_503()
        self.proxy.target = ("127.0.0.1", standby.port)
        promote(standby)
        self.proxy.restore()
        self.postgres = standby
        self.wait_answers()

    def runs(self) -> Counter[str]:
        return Counter(effects(self.fleet.effects))

    def nobody_was_started_again(self) -> None:
        assert all(process.poll() is None for process in self.fleet.processes)


@dataclass
class Told:
    """What callers were told who submit one task after the other."""

    fleet: Fleet
    accepted: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def submit(self) -> None:
        answer = self.fleet.http.post("/tasks", json={"name": "tests.effect", "params": {}})
        self.statuses.add(answer.status_code)
        if answer.status_code == 202:
            self.accepted.append(str(answer.json()["id"]))
        else:
            assert "retry-after" in answer.headers


@contextmanager
def callers(fleet: Fleet) -> Iterator[Told]:
    told = Told(fleet)
    with repeating(told.submit, every=0.005, threads=2):
        yield told


@pytest.fixture(scope="module")
def running() -> Iterator[Yard]:
    with ExitStack() as exits:
        home = exits.enter_context(temporary("tests"))
        postgres, valkey = exits.enter_context(servers(home, port=0))
        migrate.upgrade(postgres.url())
        proxy = exits.enter_context(Proxy(("127.0.0.1", postgres.port)))
        (home / "logs").mkdir()
        fleet = Fleet(home / "logs", proxy.through(postgres.url()), valkey.url)
        exits.callback(fleet.stop)
        fleet.start_api()
        fleet.start_scheduler()
        fleet.start_worker(threads=THREADS)
        with ExitStack() as standbys:
            yield Yard(home, fleet, postgres, proxy, standbys)


@pytest.fixture
def yard(running: Yard) -> Yard:
    running.wait_answers()
    running.fleet.effects.write_text("")
    return running


def test_postgresql_crashes_and_recovers(yard: Yard) -> None:
    long = yard.submit(2, seconds=3.0)
    yard.begun(long)
    with callers(yard.fleet) as told:
        time.sleep(1)
        yard.postgres.stop("immediate")
        yard.refuses_with_503()
        time.sleep(1)
        yard.postgres.start()
        yard.wait_answers()
        time.sleep(0.5)
    ids = long + told.accepted
    assert told.statuses <= {202, 503}
    assert yard.fleet.wait_final(ids, 40) == {"succeeded": len(ids)}
    runs = yard.runs()
    assert all(runs[task_id] == 1 for task_id in ids), "each once: no commit that was answered was lost"
    yard.nobody_was_started_again()


def test_every_connection_is_ended_or_cut_in_the_middle_of_whatever_it_does(yard: Yard) -> None:
    end_all = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    with callers(yard.fleet) as told, yard.postgres.connect() as admin:
        for _ in range(5):
            time.sleep(0.3)
            admin.execute(end_all)
            time.sleep(0.3)
            # Commits that were done and not answered are tried again with the same ids.
            yard.proxy.cut()
    yard.wait_answers()
    assert told.statuses <= {202, 503}
    assert yard.fleet.wait_final(told.accepted, 40) == {"succeeded": len(told.accepted)}
    runs = yard.runs()
    assert all(runs[task_id] == 1 for task_id in told.accepted)
    left = "SELECT count(*) AS n FROM task WHERE finished_at IS NULL"
    wait_for(lambda: yard.fleet.query(left)[0].n == 0, 20, "what was committed and not answered to be done, too")
    yard.nobody_was_started_again()


@pytest.mark.long
def test_postgresql_comes_back_older_than_redis_and_the_workers(yard: Yard) -> None:
    """A backup is put back: messages of tasks that nobody knows any more, a worker that is not registered, tasks that
    are done and wait again."""
    blocked = yard.submit(THREADS, seconds=3.0)
    yard.begun(blocked)
    again = yard.submit(10)
    yard.postgres.stop()
    copy_data(yard.postgres.data, yard.home / "older")
    yard.postgres.start()
    yard.wait_answers()
    assert yard.fleet.wait_final(blocked + again, 30) == {"succeeded": THREADS + 10}
    blocked = yard.submit(THREADS, seconds=3.0)
    yard.begun(blocked)
    forgotten = yard.submit(10)
    yard.postgres.stop("immediate")
    data = yard.postgres.data
    shutil.rmtree(data)
    copy_data(yard.home / "older", data)
    yard.postgres.start()
    yard.wait_answers()
    fresh = yard.submit(10)

    assert yard.fleet.wait_final(again + fresh, 60) == {"succeeded": 20}
    runs = yard.runs()
    assert all(runs[task_id] == 1 for task_id in fresh)
    assert all(runs[task_id] == 2 for task_id in again), "their ends were lost with the newer state"
    for lost in forgotten + blocked:
        assert yard.fleet.http.get(f"/tasks/{lost}").status_code == 404, "what PostgreSQL lost, it lost"
    assert all(runs[task_id] == 0 for task_id in forgotten), "and nothing runs that nobody can see"
    yard.nobody_was_started_again()


@pytest.mark.long
def test_with_synchronous_replication_a_failover_loses_nothing(yard: Yard) -> None:
    standby, _ = yard.follow("synchronous")
    with yard.postgres.connect() as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        admin.execute("SELECT pg_reload_conf()")
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_for(lambda: admin.execute(query).fetchone() == (1,), 30, "commits to wait for the standby")
    long = yard.submit(2, seconds=4.0)
    yard.begun(long)
    with callers(yard.fleet) as told:
        time.sleep(1)
        yard.fail_over(standby)
        time.sleep(0.5)
    ids = long + told.accepted
    assert told.statuses <= {202, 503}
    assert yard.fleet.wait_final(ids, 60) == {"succeeded": len(ids)}
    runs = yard.runs()
    assert all(runs[task_id] == 1 for task_id in ids)
    yard.nobody_was_started_again()


@pytest.mark.long
def test_without_it_a_failover_loses_the_newest_commits_and_no_more(yard: Yard) -> None:
    standby, replication = yard.follow("asynchronous")
    # A slow run: nothing is claimed ahead after it, or what follows could be claimed before the standby is cut off.
    assert yard.fleet.wait_final(yard.submit(1, seconds=0.5), 20) == {"succeeded": 1}
    ended = yard.submit(THREADS, seconds=4.0)
    yard.begun(ended)
    claimed = yard.submit(THREADS, seconds=6.0)
    # Or the relay would find them in the standby's outbox, and might be sooner than who runs them.
    boxed = "SELECT id FROM outbox WHERE task_ids && CAST(:ids AS uuid[])"
    wait_for(lambda: not yard.fleet.query(boxed, ids=claimed), 20, "them to be published")
    wait_streaming(yard.postgres)
    replication.refuse()
    # From here on nothing reaches the standby: four ends, four claims, five submits.
    yard.begun(claimed)
    assert yard.fleet.wait_final(ended, 20) == {"succeeded": THREADS}
    lost = yard.submit(5)
    yard.fail_over(standby)
    fresh = yard.submit(10)

    assert yard.fleet.wait_final(ended + claimed + fresh, 60) == {"succeeded": 2 * THREADS + 10}
    runs = yard.runs()
    assert all(runs[task_id] == 1 for task_id in claimed), "who runs them said so again"
    assert all(runs[task_id] == 1 for task_id in fresh)
    assert all(runs[task_id] <= 2 for task_id in ended), "their ends were lost: at least once"
    for task_id in lost:
        assert yard.fleet.http.get(f"/tasks/{task_id}").status_code == 404
        assert runs[task_id] <= 1
    assert yard.fleet.query("SELECT count(*) AS n FROM task_event WHERE kind = 'claim_asserted'")[0].n >= 1
    yard.nobody_was_started_again()
