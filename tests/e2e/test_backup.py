"""What was accepted before a backup ends after it was put back, on new and empty servers."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import servers
from tests.support import backups
from tests.support.effects import effects
from tests.support.fleet import Fleet, wait_for
from tests.support.task_role import prepare

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

THREADS = 4
TOKEN = "what nobody else knows"


@dataclass
class Site:
    """Servers and services, as they are bought anew after the old ones are lost."""

    home: Path
    exits: ExitStack
    kept: dict[str, str]  # what an operator keeps apart from the backup: .env

    def servers(self, name: str) -> tuple[str, str]:
        postgres, valkey = self.exits.enter_context(servers(self.home / name, port=0))
        return postgres.url(), valkey.url

    def fleet(self, name: str, database_url: str, redis_url: str) -> Fleet:
        (self.home / f"{name}-logs").mkdir()
        fleet = Fleet(self.home / f"{name}-logs", database_url, redis_url)
        fleet.environment.update(self.kept)
        fleet.environment["TASKYARD_TASK_MODULES"] = "tests.support.effects,tests.support.sealed_types"
        self.exits.callback(fleet.stop)
        return fleet


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as exits:
        home = exits.enter_context(temporary("tests"))
        yield Site(home, exits, {})


def reconcile(fleet: Fleet) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [Path(sys.executable).parent / "taskyard-scheduler", "reconcile", "--dry-run", "--json"],
        env=fleet.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.long
def test_what_was_accepted_before_the_backup_ends_after_it_was_put_back_on_empty_servers(site: Site) -> None:
    database_url, redis_url = site.servers("old")
    migrate.upgrade(database_url)
    prepare(database_url)
    old = site.fleet("old", database_url, redis_url)
    site.kept["TASKYARD_SECRET_KEYS"] = old.environment["TASKYARD_SECRET_KEYS"]
    old.start_all(threads=THREADS)

    # What there is of each kind when the backup is made.
    done = old.submit_many(8, "tests.effect")
    dead = old.submit("diagnostics.fail", {"times": 99, "kind": "permanent"})
    assert old.wait_final([*done, dead], 90) == {"succeeded": 8, "failed": 1}
    item = old.http.post("/tree-items", content=b"a\nb\nc\n", headers={"X-Filename": "three.txt"})
    later = old.submit("tests.effect", delay_seconds=3600)
    sealed = old.submit("tests.digest_of_secret", {"token": TOKEN}, delay_seconds=3600)
    lines = old.submit("files.process_large_file", {"item_id": item.json()["item_id"]}, delay_seconds=3600)
    once = {"Idempotency-Key": "the-invoice-of-may"}
    invoice = old.http.post("/tasks", json={"name": "tests.effect", "params": {}}, headers=once).json()["id"]
    assert old.wait_final([invoice], 90) == {"succeeded": 1}
    schedule = {
        "name": "hourly",
        "task": {"name": "tests.effect", "params": {}},
        "trigger": {"every_seconds": 3600},
    }
    assert old.http.post("/schedules", json=schedule).status_code == 201
    running = old.submit_many(THREADS, "tests.effect", {"seconds": 60.0})
    wait_for(lambda: set(running) <= set(effects(old.effects)), 90, "the tasks to begin")
    waiting = old.submit_many(10, "tests.effect")

    # PostgreSQL first: each file that it knows is among those that are copied afterwards.
    backup = site.home / "backup"
    backup.mkdir()
    backups.dump(database_url, backup)
    shutil.copytree(old.home / "storage", backup / "storage")

    after = old.submit_many(5, "tests.effect")
    old.stop()  # kill -9, as of a machine that is lost

    empty_url, empty_redis = site.servers("new")
    restored_url = backups.restore(backup, empty_url, str(sa.make_url(database_url).password))
    migrate.upgrade(restored_url)  # a newer release would bring it to its own schema here
    new = site.fleet("new", restored_url, empty_redis)
    shutil.copytree(backup / "storage", new.home / "storage")
    _, found = reconcile(new)
    assert found["lost_everything"] is True
    new.quick_from_now_on()
    # As if it had taken hours to find the servers.
    new.query(
        "UPDATE schedule SET next_due_at = next_due_at - interval '3 hours', fires_at = fires_at - interval '3 hours'"
        " RETURNING id"
    )
    new.start_all(threads=THREADS)

    again = [*running, *waiting]
    assert new.wait_final(again, 90) == {"succeeded": len(again)}
    ran = Counter(effects(new.effects))
    assert all(ran[task_id] == 1 for task_id in again), "each once more, also those that had begun"
    assert not {*done, invoice} & set(ran), "what had ended does not run again"
    assert new.states([dead]) == {"failed": 1}
    assert [item["id"] for item in new.http.get("/dead-letters").json()["items"]] == [dead]
    assert {new.http.get(f"/tasks/{task_id}").status_code for task_id in after} == {404}

    # What waits for a later time waits on, and can be read.
    assert new.states([later, sealed, lines]) == {"scheduled": 3}
    new.query("UPDATE task SET due_at = now() WHERE state = 'scheduled' RETURNING id")
    assert new.wait_final([later, sealed, lines], 90) == {"succeeded": 3}
    assert new.task(sealed).result == hashlib.sha256(TOKEN.encode()).hexdigest()
    assert new.task(lines).result["processed_lines"] == 3

    # A caller that comes again is told the first task, and a schedule makes up for what was missed, once.
    repeated = new.http.post("/tasks", json={"name": "tests.effect", "params": {}}, headers=once)
    assert repeated.json()["id"] == invoice
    *missed, last = [row.outcome for row in new.query("SELECT outcome FROM schedule_fire ORDER BY due_at")]
    assert (set(missed), last) == ({"coalesced"}, "submitted")
    code, found = reconcile(new)
    assert (code, found["lost_everything"], found["missing"]) == (0, False, 0)
