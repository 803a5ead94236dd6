"""`taskyard-worker inspect` shows what the ledger knows, and says in one line why it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.domain.new_tasks import Limits
from taskyard.lifecycle.submit import submit
from taskyard.lifecycle.workers import Beat, beat, ensure_queues
from taskyard.store.ledger import run_transaction
from taskyard_dev.postgres import Postgres
from tests.integration.api.worker import Worker
from tests.support.cases import one_in
from tests.support.ledger import new_task
from tests.support.scheduling import put_in
from tests.support.specs import register_worker, spec_named


def inspect(what: str, database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskyard_worker.cli", "inspect", what, *arguments],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}, **at(database_url)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def at(database_url: str) -> dict[str, str]:
    return {"TASKYARD_DATABASE_URL": database_url}


def test_it_shows_workers_and_what_runs(engine: Engine, database_url: str) -> None:
    worker = Worker(engine)
    running, claimed, waiting = (str(task.id) for task in put_in(engine, 3).answer)
    with engine.connect() as conn:
        conn.exec_driver_sql("UPDATE task SET name = 'diagnostics.echo'")
        conn.exec_driver_sql("UPDATE worker SET processes = 2")
        ensure_queues(conn, ["default"])
        told = [{"child": 0, "pid": 2, "memory_bytes": 1, "runs": 7, "running": [running]}]
        assert beat(conn, Beat(worker_id=worker.id, memory_bytes=3 * 2**20, children=told, begun=[UUID(running)]))
    worker.begin(running)
    worker.begin(claimed)
    with engine.connect() as conn:  # as where a heartbeat lists the one and not the other
        conn.exec_driver_sql("UPDATE task SET started_at = now() + interval '1 hour' WHERE state = 'running'")

    def shown(what: str) -> Any:
        table, as_json = inspect(what, database_url), inspect(what, database_url, "--json")
        assert (table.returncode, as_json.returncode) == (0, 0), table.stderr + as_json.stderr
        assert table.stdout.strip()
        return json.loads(as_json.stdout)

    assert [(row["id"], row["worker"], row["attempt"]) for row in shown("active")] == [(running, "w:0", 1)]
    assert waiting not in inspect("active", database_url).stdout
    looked = status(database_url)
    assert "1 task runs, 1 about to begin" in looked.stdout
    assert claimed not in looked.stdout
    [stats] = shown("stats")
    assert [stats[name] for name in ("worker", "state", "memory_mb", "runs", "running")] == ["w", "running", 3, 7, 1]
    assert (stats["processes"], stats["processes_most"]) == (1, 2), "what lives, and what may"
    run_transaction(engine, partial(submit, tasks=[new_task(limits=Limits("crm", 1)) for _ in range(3)]))
    counts = {"queue": "default", "workers": 1, "queued": 1, "blocked": 3, "running": 2, "paused": False}
    assert shown("queues") == [counts]


def test_registered_shows_name_version_and_kit_of_the_types_of_each_worker(engine: Engine, database_url: str) -> None:
    echo, report = spec_named("diagnostics.echo", kit="diagnostics"), spec_named("own.report", version=3)
    register_worker(engine, echo, report, name="a")
    register_worker(engine, spec_named("own.report", version=2, kit="own"), name="b@production")
    register_worker(engine, name="c")  # its first child has not reported yet
    Worker(engine)  # of a release that wrote names alone
    ended = inspect("registered", database_url, "--json")
    assert [list(row.values()) for row in json.loads(ended.stdout)] == [
        ["a", "diagnostics.echo", 1, "diagnostics"],
        ["a", "own.report", 3, ""],
        ["b@production", "own.report", 2, "own"],
        ["c", None, None, None],
        ["w", "diagnostics.echo", None, None],
    ]
    table = inspect("registered", database_url).stdout.splitlines()
    assert [line.split() for line in table[:2]] == [
        ["worker", "name", "version", "kit"],
        ["a", "diagnostics.echo", "1", "diagnostics"],
    ]


@pytest.mark.parametrize("what", one_in(4, ["active", "registered", "stats", "queues"]))
def test_inspect_says_in_one_line_why_it_cannot_answer(what: str, postgres: Postgres) -> None:
    empty = postgres.create_database(f"nothing_to_inspect_{what}")
    not_migrated, away = inspect(what, empty), inspect(what, "postgresql://127.0.0.1:1/x")
    assert (not_migrated.returncode, not_migrated.stdout) == (1, "")
    assert not_migrated.stderr == "taskyard-worker: the database is not migrated: run `taskyard-api migrate`.\n"
    assert (away.returncode, away.stdout, away.stderr.count("\n")) == (3, "", 1)
    postgres.drop_database(f"nothing_to_inspect_{what}")


def status(database_url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskyard_worker.cli", "status", *arguments],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}, **at(database_url), **more},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_status_shows_each_worker_with_its_tasks_and_fails_where_none_lives(engine: Engine, database_url: str) -> None:
    empty = status(database_url, "--json")
    assert empty.returncode == 1, "as a health check"
    assert {name: json.loads(empty.stdout)[name] for name in ("active_tasks", "worker_stats")} == {
        "active_tasks": {}, "worker_stats": {},
    }  # fmt: skip
    first, second, silent = Worker(engine), Worker(engine), Worker(engine)
    task = str(next(iter(put_in(engine, 1).answer)).id)
    with engine.connect() as conn:
        ensure_queues(conn, ["default", "geo"])
        conn.exec_driver_sql("UPDATE worker SET name = 'twin', queues = '{default}'")
        conn.exec_driver_sql(
            f"UPDATE worker SET name = 'mute', queues = '{{geo}}', beat_at = now() - interval '5 min' "
            f"WHERE id = '{silent.id}'"
        )
    first.begin(task)
    with engine.connect() as conn:
        conn.exec_driver_sql("UPDATE task SET started_at = now() - interval '2 s' WHERE state = 'running'")
    found = json.loads(status(database_url, "--json").stdout)
    twins = [label for label in found["worker_stats"] if label.startswith("twin")]
    assert len(twins) == 2, "names need not be unique"
    busy = {label: [one["id"] for one in tasks] for label, tasks in found["active_tasks"].items()}
    assert sorted(busy.values()) == [[], [], [task]]
    (label,) = [label for label, ids in busy.items() if ids]
    assert found["worker_stats"][label]["id"] == str(first.id)
    assert (found["worker_stats"][label]["running"], found["worker_stats"][label]["is_alive"]) == (1, True)
    mute = found["worker_stats"]["mute"]
    assert (mute["state"], mute["is_alive"], mute["beat_age_seconds"] >= 300) == ("lost", False, True)
    shown = status(database_url)
    assert shown.returncode == 0, shown.stderr
    assert "2 workers live, 1 lost within the last hour; 1 task runs" in shown.stdout
    assert task in shown.stdout
    of_geo = status(database_url, "--queue", "geo", "--json")
    assert (of_geo.returncode, list(json.loads(of_geo.stdout)["worker_stats"])) == (1, ["mute"])
    assert json.loads(of_geo.stdout)["active_tasks"] == {"mute": []}
    assert str(second.id) not in of_geo.stdout
    away = status("postgresql://127.0.0.1:1/x")
    assert (away.returncode, away.stdout) == (3, "")
