"""Workers register the task types that their children found, in processes of their own on real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.catalogue.registry import TypeRegistry
from taskyard.lifecycle import submit
from taskyard.store import ledger, task_types
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.integration.worker.harness import Harness
from tests.support.fleet import Fleet, children, template_of, wait_for
from tests.support.ledger import new_task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LEASE = timedelta(seconds=4)
_MODULE = """
import os
from taskyard import Params, Result, task

with open(os.environ["IMPORTED"], "a") as imported:
    imported.write(f"{os.getpid()}\\n")

class Nothing(Params):
    pass

class Output(Result):
    pass

def declare(name, version, description):
    def run(params: Nothing, *, context) -> Output:
        return Output()
    run.__name__ = run.__qualname__ = name.replace(".", "_")
    globals()[run.__name__] = task(name, version=version, description=description)(run)

"""


class Workers:
    """Workers whose task module a test writes."""

    def __init__(self, home: Path, database_url: str, redis_url: str, harness: Harness) -> None:
        self.home = home
        self.harness = harness
        self.fleet = Fleet(home, database_url, redis_url)
        self.imported = home / "imported"
        self.fleet.environment |= {
            "TASKYARD_TASK_MODULES": "mine",
            "IMPORTED": str(self.imported),
            "PYTHONDONTWRITEBYTECODE": "1",  # the module changes within a second
        }

    def install(self, *types: tuple[Any, ...], into: str = "site") -> None:
        """What `mine` declares from now on: names, with their version and description where they matter."""
        lines = [f"T{n} = declare(*{(*declared, *(1, '')[len(declared) - 1 :])!r})" for n, declared in enumerate(types)]
        directory = self.home / into
        directory.mkdir(exist_ok=True)
        (directory / "mine.py").write_text(_MODULE + "\n".join(lines) + "\n")
        root = Path(__file__).parents[3]
        self.fleet.environment["PYTHONPATH"] = f"{directory}{os.pathsep}{root}"

    def replace_children(self, worker: subprocess.Popen[bytes]) -> None:
        """As after an update in place."""
        worker.send_signal(signal.SIGHUP)

    def live(self) -> dict[str, set[int]]:
        """The versions of `mine.*` that live workers run."""
        found: dict[str, set[int]] = {}
        for live in self.snapshot().live:
            if live.name.startswith("mine."):
                found.setdefault(live.name, set()).add(live.version)
        return found

    def snapshot(self) -> task_types.Snapshot:
        return ledger.run(self.harness.engine, lambda conn: task_types.read(conn, lease=LEASE))

    def admits(self, name: str) -> int | None:
        snapshot = self.snapshot()
        found = TypeRegistry.compile(snapshot.specs.values(), snapshot.live).admitting(name)
        return found.spec.version if found is not None else None

    def wait_live(self, expected: dict[str, set[int]], seconds: float = 30) -> None:
        try:
            wait_for(lambda: self.live() == expected, seconds, f"{expected}")
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.live()}\n{self.fleet.logs()[-4000:]}") from None

    def put(self, name: str) -> Any:
        task = new_task(name)
        done = ledger.run(self.harness.engine, lambda conn: submit.submit(conn, [task]))
        self.harness.publisher.publish(done.publications)
        return task.id

    def lines(self, *words: str) -> list[str]:
        return [line for line in self.fleet.logs().splitlines() if all(word in line for word in words)]


@pytest.fixture
def workers(
    tmp_path: Path, database_url: str, redis_url: str, engine: Engine, client: redis.Redis
) -> Iterator[Workers]:
    harness = Harness(engine, client)
    made = Workers(tmp_path, database_url, redis_url, harness)
    yield made
    made.fleet.stop()
    harness.close()


def test_a_worker_registers_what_its_children_found_and_its_supervisor_imports_no_task_code(
    workers: Workers, client: redis.Redis
) -> None:
    workers.install(("mine.a",), ("mine.b", 3))
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(Names().types)
        pubsub.get_message(timeout=5.0)
        worker = workers.fleet.start_worker(processes=2)
        assert workers.live() == {"mine.a": {1}, "mine.b": {3}}
        wait_for(lambda: pubsub.get_message(timeout=1.0), 10, "the wake-up of API and scheduler")
    assert list(map(int, workers.imported.read_text().split())) == [template_of(worker.pid)], "once for all children"
    names = {spec.name for spec in workers.snapshot().specs.values()}
    assert {"mine.a", "email.send", "files.process_large_file", "diagnostics.echo"} <= names
    (row,) = workers.harness.query("SELECT task_types FROM worker WHERE 'mine.a' = ANY(task_types)")
    assert set(row.task_types) == names


def test_the_supervisor_is_made_of_modules_without_task_code() -> None:
    listed = "import sys, taskyard_worker.supervisor.composition; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout.split()
    task_code = (
        "taskyard_worker.child.skills",
        "taskyard.catalogue.kits",
        "taskyard_kits",
        "PIL",
        "jinja2",
        "smtplib",
    )
    assert [name for name in modules if name.startswith(task_code)] == []
    assert "taskyard.catalogue.spec" in modules


def test_after_an_update_in_place_the_next_child_brings_the_new_types(workers: Workers) -> None:
    workers.install(("mine.a",), ("mine.old",), ("mine.same", 1, "before"))
    worker = workers.fleet.start_worker()
    workers.wait_live({"mine.a": {1}, "mine.old": {1}, "mine.same": {1}})
    workers.install(("mine.a", 2), ("mine.new",), ("mine.same", 1, "after"))
    before = children(worker.pid)
    workers.replace_children(worker)
    workers.wait_live({"mine.a": {2}, "mine.new": {1}, "mine.same": {1}})
    wait_for(lambda: not set(before) & set(children(worker.pid)), 20, "the child that runs the old ones to end")
    assert workers.admits("mine.a") == 2
    described = {(s.name, s.version): s.description for s in workers.snapshot().specs.values()}
    assert described["mine.same", 1] == "after", "the newer content stands"
    audited = workers.harness.query("SELECT target_id, actor FROM audit WHERE action = 'task_type.changed'")
    assert [row.target_id for row in audited] == ["mine.same"]
    assert audited[0].actor.startswith("worker:")
    # Its type is gone, so it waits for a worker that brings it again.
    waiting, runs = workers.put("mine.old"), workers.put("mine.new")
    workers.fleet.wait_state(str(runs), "succeeded")
    assert workers.harness.states([waiting])[0] in {"queued", "scheduled"}


def test_children_that_find_the_same_types_write_nothing(workers: Workers) -> None:
    workers.install(("mine.a",))
    worker = workers.fleet.start_worker(processes=2)
    before = children(worker.pid)
    workers.replace_children(worker)
    wait_for(lambda: len(set(children(worker.pid)) - set(before)) == 2, 30, "two other children")
    assert len(workers.imported.read_text().split()) == 2, "their template has imported"
    runs = workers.put("mine.a")
    workers.fleet.wait_state(str(runs), "succeeded")
    assert len(workers.lines("task_types_registered")) == 1


def test_the_types_of_a_worker_that_died_lapse_with_its_lease(workers: Workers) -> None:
    workers.install(("mine.a",))
    worker = workers.fleet.start_worker()
    workers.wait_live({"mine.a": {1}})
    worker.kill()
    workers.wait_live({})
    assert workers.admits("mine.a") == 1, "tasks are taken all the same, and wait"


def test_a_worker_that_was_given_up_registers_its_types_anew(workers: Workers) -> None:
    workers.install(("mine.a",))
    workers.fleet.start_worker()
    workers.wait_live({"mine.a": {1}})
    workers.harness.execute("UPDATE worker SET lost_at = now(), state = 'lost' WHERE name <> 'w'")
    workers.wait_live({})
    workers.wait_live({"mine.a": {1}})
    assert len(workers.harness.query("SELECT FROM worker_type WHERE name = 'mine.a'")) == 2


def test_workers_of_two_versions_run_side_by_side_and_the_newer_one_admits_while_it_lives(workers: Workers) -> None:
    workers.install(("mine.a", 1), into="old")
    workers.fleet.start_worker()
    workers.install(("mine.a", 2), into="new")
    newer = workers.fleet.start_worker()
    workers.wait_live({"mine.a": {1, 2}})
    assert workers.admits("mine.a") == 2
    newer.terminate()
    workers.wait_live({"mine.a": {1}})
    assert workers.admits("mine.a") == 1


def test_a_type_that_is_refused_is_told_once_and_neither_registered_nor_claimed(workers: Workers) -> None:
    workers.install(("mine.a",), ("mine.huge", 1, "x" * 20_000))
    workers.fleet.start_worker(processes=2)
    workers.wait_live({"mine.a": {1}})
    refused, runs = workers.put("mine.huge"), workers.put("mine.a")
    workers.fleet.wait_state(str(runs), "succeeded")
    wait_for(lambda: len(workers.lines('"child_ready"')) == 2, 20, "both children")
    time.sleep(1.0)
    assert workers.harness.states([refused])[0] in {"queued", "scheduled"}
    (line,) = workers.lines("task_type_refused")
    assert json.loads(line)["task_name"] == "mine.huge"


def test_a_worker_has_the_name_that_it_is_given(workers: Workers) -> None:
    workers.install(("mine.a",))
    workers.fleet.start_worker("--name", "mail@production")
    task = workers.put("mine.a")
    workers.fleet.wait_state(str(task), "succeeded")
    (attempt,) = workers.fleet.attempts(str(task))
    assert attempt.worker == "mail@production:0"
    assert [r.name for r in workers.harness.query("SELECT name FROM worker WHERE name <> 'w'")] == ["mail@production"]
    assert workers.lines("worker_started", '"worker": "mail@production"')
    workers.fleet.start_api()
    shown = {row["name"] for row in workers.fleet.http.get("/workers").json()["items"]}
    assert "mail@production" in shown
    for what in ("registered", "stats"):
        assert "mail@production" in {row["worker"] for row in inspect(workers, what)}


def test_a_worker_without_a_name_is_called_after_its_host(workers: Workers) -> None:
    workers.install(("mine.a",))
    workers.fleet.start_worker()
    (row,) = [row for row in inspect(workers, "registered") if row["name"] == "mine.a"]
    assert re.fullmatch(rf"{re.escape(socket.gethostname())}-[0-9a-f]{{4}}", row["worker"])
    assert (row["version"], row["kit"]) == (1, "mine")


def inspect(workers: Workers, what: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "taskyard_worker.cli", "inspect", what, "--json"]
    shown = subprocess.run(command, env=workers.fleet.environment, capture_output=True, check=True, timeout=60)
    rows: list[dict[str, Any]] = json.loads(shown.stdout)
    return rows


@pytest.mark.parametrize("name", ["", "a b", "a:0", "-a", "x" * 65, "ü", "a\n"])
def test_a_name_that_could_be_misread_is_refused(workers: Workers, name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "taskyard_worker.cli", "run", "--name", name],
        env=workers.fleet.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("taskyard-worker: TASKYARD_WORKER_NAME: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.long
def test_types_that_cannot_be_registered_yet_are_registered_once_postgresql_is_back(
    tmp_path: Path, own_postgres: Postgres, own_valkey: Valkey, own_harness: Harness
) -> None:
    workers = Workers(tmp_path, own_postgres.url(), own_valkey.url, own_harness)
    try:
        workers.install(("mine.a",))
        worker = workers.fleet.start_worker()
        before = children(worker.pid)
        own_postgres.stop()
        workers.install(("mine.a", 2))
        workers.replace_children(worker)
        wait_for(lambda: len(workers.imported.read_text().split()) == 2, 30, "the next child")
        wait_for(lambda: workers.lines("ledger_unavailable", "recorder"), 30, "a try without PostgreSQL")
        wait_for(lambda: set(children(worker.pid)) - set(before), 20, "it to run meanwhile")
        own_postgres.start()
        workers.wait_live({"mine.a": {2}}, 60)
        task = workers.put("mine.a")
        workers.fleet.wait_state(str(task), "succeeded", seconds=60)
    finally:
        workers.fleet.stop()
