"""A process that dies right before or right after anything becomes durable, or is told, loses nothing and does
nothing twice that was not under way.

Everywhere the same is asked afterwards: each task has succeeded, by one attempt; its effect happened once, or
twice where an attempt died after it had begun; nothing waits to be published; Redis holds nothing of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from taskyard.failpoints import PLACES
from taskyard_dev.servers import Valkey
from tests.support.cases import one_in
from tests.support.composed import guard_moves
from tests.support.effects import effects
from tests.support.fleet import Fleet, children, wait_for
from tests.support.leftovers import leftovers

pytestmark = pytest.mark.e2e

_DATABASE = 60  # of the numbered ones of the shared Valkey, for this module alone
CHILD = [
    *("claim.before", "claim.after", "acknowledge.before", "acknowledge.after", "effect.before", "effect.after"),
    *("finish.before", "finish.after", "publish.before", "publish.after"),
]
SUPERVISOR = ["lose.before", "lose.after"]
NEW_SUPERVISOR = ["take_up.before", "take_up.after"]
API = ["submit.before", "submit.after", "publish.before", "publish.after", "outbox.before", "outbox.after"]
RELAY = ["relay.before", "relay.published", "relay.after"]
# integration/scheduler/test_application_relay.py
ELSEWHERE = [place.replace("relay", "relay_applications") for place in RELAY]
WALK = ["mark.before", "mark.after"]  # in test_batches.py
ARCHIVE = ["archive.before", "archive.after"]  # in test_maintenance.py
CHUNKS = ["chunk.before", "chunk.written", "chunk.after"]  # in test_files_and_data.py
FIRES = ["fire.before", "fire.after"]  # in test_schedules.py
LEADER = ["promote.before", "promote.after", "rescue.before", "rescue.after"]


class LongLivedServices:
    """An API and a scheduler that stay; what is to die comes and goes."""

    def __init__(self, fleet: Fleet, valkey: Valkey) -> None:
        self.fleet = fleet
        self._valkey = valkey
        fleet.environment["TASKYARD_WORKER_LEASE_SECONDS"] = "4"
        fleet.start_api()
        self.scheduler = fleet.start_scheduler()

    @contextmanager
    def armed(self, place: str, nth: int = 1) -> Iterator[Path]:
        """What is started meanwhile dies there; the path exists from then on."""
        directory = self.fleet.home / f"temp-{uuid4().hex[:8]}"
        names = {"TASKYARD_FAILPOINTS": f"{place}:{nth}", "TASKYARD_TEMP_DIR": str(directory)}
        self.fleet.environment.update(names)
        try:
            yield directory / "failpoints" / place
        finally:
            for name in names:
                del self.fleet.environment[name]

    @contextmanager
    def worker(self, *more: str, threads: int) -> Iterator[subprocess.Popen[bytes]]:
        worker = self.fleet.start_worker(*more, threads=threads)
        try:
            yield worker
        finally:
            if worker.poll() is None:
                worker.terminate()
                worker.wait(40)
        assert worker.returncode == 0

    def replace_scheduler(self) -> subprocess.Popen[bytes]:
        """Another one leads at once: the one before it goes in an orderly way, where it still runs."""
        self.scheduler.terminate()
        self.scheduler.wait(40)
        self.scheduler = self.fleet.start_scheduler()
        return self.scheduler

    def age_outbox(self) -> None:
        """As if ten seconds had passed, after which the relay takes up what nobody published."""
        self.fleet.query("UPDATE outbox SET created_at = created_at - interval '10 s' RETURNING id")

    def check(self, ids: list[str], *, at_most: int = 1, seconds: float = 40) -> None:
        fleet = self.fleet
        assert fleet.wait_final(ids, seconds) == {"succeeded": len(ids)}
        runs = Counter(effects(fleet.effects))
        assert {runs[i] for i in ids} <= set(range(1, at_most + 1)), runs
        for task_id in ids:
            task = fleet.task(task_id)
            assert (task.claim, task.worker_id, task.failures) == (None, None, 0)
            assert [a.outcome for a in fleet.attempts(task_id)].count("succeeded") == 1
            assert task.attempt >= runs[task_id]
        self.age_outbox()
        wait_for(lambda: not fleet.query("SELECT id FROM outbox"), 30, "the outbox to be empty")
        with self._valkey.client(_DATABASE) as client:
            wait_for(lambda: not leftovers(client), 30, f"Redis to forget it all: {leftovers(client)}")


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], valkey: Valkey
) -> Iterator[LongLivedServices]:
    with valkey.client(_DATABASE) as client:
        client.flushdb()
    fleet = Fleet(tmp_path_factory.mktemp("failpoints"), new_database(), valkey.database_url(_DATABASE))
    guard_moves(fleet.engine)
    try:
        yield LongLivedServices(fleet, valkey)
    finally:
        fleet.stop()


def test_every_failpoint_has_its_case() -> None:
    of_services = {*CHILD, *SUPERVISOR, *NEW_SUPERVISOR, *API, *RELAY, *LEADER}
    assert of_services | {*ELSEWHERE, *WALK, *ARCHIVE, *CHUNKS, *FIRES} == PLACES


@pytest.mark.parametrize("place", one_in(3, CHILD))
def test_a_child_dies_there(services: LongLivedServices, place: str) -> None:
    with services.armed(place) as reached, services.worker(threads=1):
        # One that is recorded leaves its thread to the next, which may have begun before this one's commit is through.
        ids = services.fleet.submit_many(1 if place == "finish.after" else 3, "tests.effect")
        wait_for(reached.exists, 30, f"a death at {place}")
        # Only what had begun, and was not recorded yet, may happen again. What a child tells comes at any time.
        twice = {"effect.after", "finish.before", "publish.before", "publish.after"}
        services.check(ids, at_most=2 if place in twice else 1)


@pytest.mark.parametrize(
    "place",
    [
        "acknowledge.before",
        *(
            pytest.param(place, marks=pytest.mark.long)
            for place in ("claim.after", "effect.after", "finish.before", "finish.after")
        ),
    ],
)
def test_a_busy_child_dies_there(services: LongLivedServices, place: str) -> None:
    with services.armed(place, nth=3) as reached, services.worker(threads=4):
        ids = services.fleet.submit_many(60, "tests.effect", {"seconds": 0.02})
        wait_for(reached.exists, 30, f"a death at {place}")
        services.check(ids, at_most=2)


@pytest.mark.parametrize("place", one_in(2, SUPERVISOR, begin=1))
def test_a_supervisor_dies_there(services: LongLivedServices, place: str) -> None:
    fleet = services.fleet
    with services.armed(place) as reached:
        first = fleet.start_worker(threads=1)
    task_id = fleet.submit("tests.effect", {"seconds": 2.0})
    wait_for(lambda: task_id in effects(fleet.effects), 20, "it to begin")
    os.kill(children(first.pid)[0], signal.SIGKILL)
    wait_for(reached.exists, 30, f"a death at {place}")
    assert first.wait(30) == -signal.SIGKILL
    with services.worker(threads=1):
        services.age_outbox()
        services.check([task_id], at_most=2)


@pytest.mark.parametrize("place", one_in(2, NEW_SUPERVISOR, begin=1))
def test_a_supervisor_dies_as_it_takes_up_what_others_put_off(services: LongLivedServices, place: str) -> None:
    fleet = services.fleet
    with services.worker(threads=1):
        pass  # it registers the types and leaves
    task_id = fleet.submit("tests.effect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fleet.environment, "TASKYARD_TASK_MODULES", "")
        with services.worker(threads=1):
            wait_for(lambda: fleet.task(task_id).put_offs > 0, 30, "it to be put off")
            later = "UPDATE task SET due_at = now() + interval '200 s' WHERE id = :id RETURNING id"
            fleet.query(later, id=UUID(task_id))  # so that the leader does not promote it first
        patch.undo()
        with services.armed(place) as reached:
            newer = fleet.start("taskyard-worker", "run", "--queues", "default", "--processes", "1")
            wait_for(reached.exists, 30, f"a death at {place}")
        assert newer.wait(30) == -signal.SIGKILL
    with services.worker(threads=1):
        services.age_outbox()
        services.check([task_id])


@pytest.mark.parametrize("place", one_in(3, API, begin=1))
def test_the_api_dies_there(services: LongLivedServices, tmp_path: Path, place: str) -> None:
    fleet = services.fleet
    other = Fleet(tmp_path, fleet.environment["TASKYARD_DATABASE_URL"], fleet.environment["TASKYARD_REDIS_URL"])
    known = int(fleet.query("SELECT count(*) AS n FROM task")[0].n)
    other.environment |= {"TASKYARD_FAILPOINTS": place, "TASKYARD_TEMP_DIR": str(tmp_path)}
    try:
        api = other.start_api()
        with services.worker(threads=1):
            # A caller who heard nothing, or no more, asks again with the same key.
            key = {"Idempotency-Key": f"the only one: {place}"}
            with suppress(httpx.TransportError):
                other.http.post("/tasks", json={"name": "tests.effect"}, headers=key)
            wait_for((tmp_path / "failpoints" / place).exists, 30, f"a death at {place}")
            assert api.wait(30) == -signal.SIGKILL
            other.start_api()
            again = other.http.post("/tasks", json={"name": "tests.effect"}, headers=key)
            assert again.status_code == 202
            services.age_outbox()
            services.check([again.json()["id"]])
        assert fleet.query("SELECT count(*) AS n FROM task")[0].n == known + 1
    finally:
        other.stop()


@pytest.mark.parametrize("place", one_in(3, RELAY, begin=1))
def test_a_relay_dies_there(services: LongLivedServices, tmp_path: Path, place: str) -> None:
    fleet = services.fleet
    # An API that dies before it publishes leaves something for the relay.
    other = Fleet(tmp_path, fleet.environment["TASKYARD_DATABASE_URL"], fleet.environment["TASKYARD_REDIS_URL"])
    other.environment |= {"TASKYARD_FAILPOINTS": "publish.before", "TASKYARD_TEMP_DIR": str(tmp_path)}
    with services.armed(place) as reached:
        scheduler = services.replace_scheduler()
        try:
            api = other.start_api()
            with suppress(httpx.TransportError):
                other.http.post("/tasks", json={"name": "tests.effect"})
            api.wait(30)
        finally:
            other.stop()
        (task,) = fleet.query("SELECT id FROM task WHERE finished_at IS NULL")
        services.age_outbox()
        wait_for(reached.exists, 30, f"a death at {place}")
        assert scheduler.wait(30) == -signal.SIGKILL
    services.replace_scheduler()
    with services.worker(threads=1):
        services.check([str(task.id)])


@pytest.mark.parametrize(
    ("place", "left"), one_in(2, [("promote.before", "scheduled"), ("promote.after", "queued")], begin=1)
)
def test_a_leader_dies_before_promoting_or_between_that_and_publishing(
    services: LongLivedServices, place: str, left: str
) -> None:
    fleet = services.fleet
    with services.armed(place) as reached:
        scheduler = services.replace_scheduler()
    task_id = fleet.submit("tests.effect", delay_seconds=0.5)
    wait_for(reached.exists, 30, "its death")
    assert scheduler.wait(30) == -signal.SIGKILL
    assert fleet.task(task_id).state == left
    services.age_outbox()
    services.replace_scheduler()
    with services.worker(threads=1):
        services.check([task_id])


@pytest.mark.parametrize(
    ("place", "left"), one_in(2, [("rescue.before", "running"), ("rescue.after", "queued")], begin=1)
)
def test_a_leader_dies_before_rescuing_or_between_that_and_publishing(
    services: LongLivedServices, place: str, left: str
) -> None:
    fleet = services.fleet
    with services.armed(place) as reached:
        scheduler = services.replace_scheduler()
    worker = fleet.start_worker(threads=1)
    task_id = fleet.submit("tests.effect", {"seconds": 60.0})
    wait_for(lambda: task_id in effects(fleet.effects), 20, "it to begin")
    fleet.query("UPDATE task SET params = '{}' WHERE id = :id RETURNING id", id=UUID(task_id))  # quick, the next time
    worker.kill()
    worker.wait(30)
    wait_for(reached.exists, 40, "the death of its rescuer")
    assert scheduler.wait(30) == -signal.SIGKILL
    assert fleet.task(task_id).state == left
    services.age_outbox()
    services.replace_scheduler()
    with services.worker(threads=1):
        services.check([task_id], at_most=2)
