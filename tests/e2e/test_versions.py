"""A task type changes its version under load: rolled forward over two workers, and back again."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue.registry import TypeRegistry
from taskyard.lifecycle.submit import submit
from taskyard.store import ledger, task_types
from tests.support.fleet import Fleet, wait_for
from tests.support.ledger import new_task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LEASE = timedelta(seconds=4)
_ROOT = Path(__file__).parents[2]
_EVERY_SECONDS = 0.02
_MODULES = {
    1: """
from taskyard import task

@task("mine.greet", max_attempts=1)
def greet(to: str) -> str:
    return f"1 {to}"
""",
    2: """
from taskyard import task

def upgrade(params, version):
    return {"recipient": params["to"]}

@task("mine.greet", version=2, max_attempts=1, upgrade=upgrade)
def greet(recipient: str) -> str:
    return f"2 {recipient}"
""",
}


class Rolling:
    """Workers of either release on one queue, and who submits by the registry, as the API does."""

    def __init__(self, fleet: Fleet, redis_url: str) -> None:
        self.fleet = fleet
        self._publisher = make_publisher(redis_url, Names())
        self.ids: list[str] = []
        self.errors: list[Exception] = []
        fleet.environment |= {"TASKYARD_TASK_MODULES": "mine", "PYTHONDONTWRITEBYTECODE": "1"}
        for version, text in _MODULES.items():
            directory = fleet.home / f"release{version}"
            directory.mkdir()
            (directory / "mine.py").write_text(text)

    def worker(self, version: int) -> subprocess.Popen[bytes]:
        self.fleet.environment["PYTHONPATH"] = f"{self.fleet.home / f'release{version}'}{os.pathsep}{_ROOT}"
        return self.fleet.start_worker()

    @staticmethod
    def end(worker: subprocess.Popen[bytes]) -> None:
        """As a deployment ends it: it finishes what it has."""
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0

    def admits(self) -> int:
        snapshot = ledger.run(self.fleet.engine, lambda conn: task_types.read(conn, lease=LEASE))
        admitting = TypeRegistry.compile(snapshot.specs.values(), snapshot.live).admitting("mine.greet")
        assert admitting is not None
        return admitting.spec.version

    def submit(self, version: int, count: int = 1) -> list[str]:
        name = "to" if version == 1 else "recipient"
        tasks = [new_task("mine.greet", version=version, params={name: "Ada"}, max_attempts=1) for _ in range(count)]
        done = ledger.run(self.fleet.engine, lambda conn: submit(conn, tasks))
        self._publisher.publish(done.publications)
        ids = [str(t.id) for t in tasks]
        self.ids += ids
        return ids

    @contextmanager
    def load(self) -> Iterator[None]:
        stopping = threading.Event()

        def go_on() -> None:
            while not stopping.wait(_EVERY_SECONDS):
                try:
                    self.submit(self.admits())
                except Exception as e:  # noqa: BLE001 - the test tells it
                    self.errors.append(e)
                    return

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(30)

    def ran(self) -> dict[tuple[int, str], int]:
        """How many succeeded, by the version of the row and of the worker."""
        rows = self.fleet.query(
            "SELECT version, result #>> '{}' AS said, count(*) AS n FROM task WHERE state = 'succeeded' GROUP BY 1, 2"
        )
        return {(row.version, row.said): row.n for row in rows}

    def wait_ran(self, version: int, said: str, *, more: int = 10) -> None:
        before = self.ran().get((version, said), 0)
        what = f"version {version} to run as {said!r}"
        try:
            wait_for(lambda: self.ran().get((version, said), 0) >= before + more, 40, what, every=0.1)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.ran()} {self.errors}\n{self.fleet.logs()[-4000:]}") from None


@pytest.fixture
def rolling(fleet: Fleet, redis_url: str) -> Rolling:
    return Rolling(fleet, redis_url)


@pytest.mark.long
def test_a_new_version_rolls_forward_and_back_under_load_and_nothing_is_lost_or_fails(rolling: Rolling) -> None:
    fleet = rolling.fleet
    fleet.start_scheduler()
    first, second = rolling.worker(1), rolling.worker(1)
    with rolling.load():
        rolling.wait_ran(1, "1 Ada")
        # Forward: both releases run for a while, then the new one runs what the old one left.
        newer = rolling.worker(2)
        rolling.end(first)
        rolling.wait_ran(2, "2 Ada")
        left = rolling.submit(1, 20)
        newest = rolling.worker(2)
        rolling.end(second)
        rolling.wait_ran(2, "2 Ada")
        # And back.
        third = rolling.worker(1)
        rolling.end(newer)
        rolling.wait_ran(2, "2 Ada")
        fourth = rolling.worker(1)
        rolling.end(newest)
        rolling.wait_ran(1, "1 Ada")
    assert not rolling.errors
    # What only the new release can run waits, whether the last of its workers had fetched it or not ...
    newest_ones = rolling.submit(2, 30)
    wait_for(lambda: fleet.states(newest_ones) == {"scheduled": 30}, 20, "tasks of the other release to be put off")
    rolling.worker(2)
    # ... and runs as soon as that is back, though it was put off for longer and longer.
    states = fleet.wait_final(rolling.ids, 20)
    assert states == {"succeeded": len(rolling.ids)}
    assert len(rolling.ids) == len(set(rolling.ids)) > 100
    assert set(rolling.ran()) <= {(1, "1 Ada"), (1, "2 Ada"), (2, "2 Ada")}
    assert fleet.states(left) == {"succeeded": 20}
    (spent,) = fleet.query("SELECT max(failures) AS failures, max(crashes) AS crashes FROM task")
    assert (spent.failures, spent.crashes) == (0, 0)
    assert not fleet.query("SELECT id FROM task_attempt WHERE outcome NOT IN ('succeeded', 'released')")
    for worker in (third, fourth):
        assert worker.poll() is None


def test_a_task_of_a_newer_version_goes_to_the_worker_that_has_it_without_a_write(rolling: Rolling) -> None:
    """No scheduler runs: what is put off would stay so."""
    old, new = rolling.worker(1), rolling.worker(2)
    ids = rolling.submit(2, 200)
    assert rolling.fleet.wait_final(ids, 20) == {"succeeded": 200}
    assert not rolling.fleet.query("SELECT id FROM task WHERE put_offs > 0 OR attempt <> 1 OR failures > 0")
    assert not rolling.fleet.query("SELECT id FROM task_event WHERE kind = 'put_off'")
    assert old.poll() is None
    assert new.poll() is None
