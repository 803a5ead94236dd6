"""Help, output and exit codes of the commands."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from taskyard.store.ledger import make_engine
from tests.support.scheduling import LeaderParts, execute, put_in


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskyard_scheduler.cli", *arguments],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["run", "reconcile", "healthcheck"])
def test_help_has_an_example_and_names_the_variables(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert run(command, "-h").stdout == shown.stdout
    assert "--log-level" in shown.stdout
    assert f"taskyard-scheduler {command}" in shown.stdout
    assert "TASKYARD_" in shown.stdout


def test_a_wrong_value_ends_with_one_line_that_names_the_variable(tmp_path: Path) -> None:
    ended = run("run", TASKYARD_LEADER_LEASE_SECONDS="-3", TASKYARD_HEALTH_FILE=str(tmp_path / "alive"))
    assert ended.returncode == 2
    assert "TASKYARD_LEADER_LEASE_SECONDS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_metrics_port_ends_with_one_line(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run(
            "run",
            "--metrics-port",
            port,
            TASKYARD_DATABASE_URL=database_url,
            TASKYARD_REDIS_URL=redis_url,
            TASKYARD_HEALTH_FILE=str(tmp_path / "alive"),
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"taskyard-scheduler: TASKYARD_METRICS_PORT: cannot listen on 127.0.0.1:{port}")
    assert ended.stderr.count("\n") == 1


def test_reconcile_reports_what_is_missing_and_publishes_it(
    leader: LeaderParts, engine: Engine, database_url: str, redis_url: str
) -> None:
    submitted = put_in(engine, 3)
    execute(engine, "DELETE FROM outbox")
    leader.age(60)
    urls = {"TASKYARD_DATABASE_URL": database_url, "TASKYARD_REDIS_URL": redis_url}
    shown = run("reconcile", "--dry-run", "--json", **urls)
    assert shown.returncode == 1, shown.stderr
    answer = json.loads(shown.stdout)
    assert (answer["missing"], answer["published"]) == (3, 0)
    assert answer["task_ids"] == [str(task.id) for task in submitted.answer]
    assert {"queue": "default", "queued": 3, "missing": 3} in answer["queues"]
    assert leader.messages() == []

    done = run("reconcile", **urls)
    assert done.returncode == 0
    assert "3 published again" in done.stdout
    assert len(leader.messages()) == 3
    assert run("reconcile", "--dry-run", **urls).returncode == 0


@pytest.mark.long
def test_an_unreachable_server_is_exit_code_three(database_url: str, redis_url: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    gone = run("reconcile", TASKYARD_DATABASE_URL=nowhere, TASKYARD_REDIS_URL=redis_url)
    assert (gone.returncode, gone.stderr.count("\n")) == (3, 1)
    gone = run("reconcile", TASKYARD_DATABASE_URL=database_url, TASKYARD_REDIS_URL="redis://127.0.0.1:1/0")
    assert (gone.returncode, gone.stderr.count("\n")) == (3, 1)


def test_a_database_that_is_not_migrated_is_reported_in_one_line(
    new_database: Callable[[], str], redis_url: str
) -> None:
    url = new_database()
    engine = make_engine(url)
    execute(engine, "DROP TABLE task CASCADE")
    engine.dispose()
    ended = run("reconcile", "--dry-run", TASKYARD_DATABASE_URL=url, TASKYARD_REDIS_URL=redis_url)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "taskyard-api migrate" in ended.stderr


def test_the_health_check_reads_the_age_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    assert run("healthcheck", TASKYARD_HEALTH_FILE=str(path)).returncode == 1
    path.touch()
    assert run("healthcheck", TASKYARD_HEALTH_FILE=str(path)).returncode == 0
    old = time.time() - 60
    os.utime(path, (old, old))
    stale = run("healthcheck", "--health-file", str(path))
    assert stale.returncode == 1
    assert "has not got on for 6" in stale.stderr


def test_the_health_check_imports_no_library(tmp_path: Path) -> None:
    """It runs every few seconds in every container."""
    path = tmp_path / "alive"
    path.touch()
    code = (
        "import sys; from taskyard_scheduler import cli\n"
        "try: cli.main(['healthcheck'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "print(sorted({'typer','sqlalchemy','pydantic','redis','structlog'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TASKYARD_HEALTH_FILE": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "[]"
