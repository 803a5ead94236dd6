"""`taskyard-api types`: what the registry holds, and how a type is forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from typer.testing import CliRunner

from taskyard.catalogue.spec import spec_of
from taskyard.lifecycle import submit
from taskyard.store import ledger
from taskyard_api.types_cli import app
from taskyard_dev.postgres import Postgres
from tests.integration.api.voucher import VOUCHER
from tests.support.ledger import new_task
from tests.support.specs import HOSTILE_ROWS, plant, register_worker, spec_named

BIN = Path(sys.executable).parent / "taskyard-api"


class Cli:
    """The command, on a ledger with a live worker and one that has died."""

    def __init__(self, engine: Engine, database_url: str) -> None:
        self.engine = engine
        self.database_url = database_url
        sends = spec_named("mail.send", version=2, kit="mail", description="Sends a mail.")
        register_worker(engine, sends, name="mail@production")
        before = (spec_named("mail.send", kit="mail"), spec_named("old.report", queue="reports"))
        gone = register_worker(engine, *before, name="gone")
        self.execute("UPDATE worker SET lost_at = now() WHERE id = :id", id=gone)

    def execute(self, statement: str, **values: Any) -> None:
        ledger.run(self.engine, lambda conn: conn.execute(sa.text(statement), values))

    def run(self, *arguments: str, database_url: str | None = None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
        env["TASKYARD_DATABASE_URL"] = database_url or self.database_url
        return subprocess.run(
            [str(BIN), "types", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
        )

    def json(self, *arguments: str) -> Any:
        ended = self.run(*arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def refused(self, *arguments: str, code: int = 1) -> str:
        """The one line on standard error."""
        ended = self.run(*arguments)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1), ended.stderr
        return ended.stderr


@pytest.fixture
def cli(engine: Engine, database_url: str) -> Cli:
    return Cli(engine, database_url)


@pytest.mark.parametrize("command", ["list", "show", "forget"])
def test_every_command_has_help_with_an_example(cli: Cli, command: str) -> None:
    shown = cli.run(command, "--help")
    assert shown.returncode == 0
    assert f"taskyard-api types {command}" in shown.stdout
    assert "--json" in shown.stdout


def test_the_list_shows_every_version_and_who_runs_it(cli: Cli) -> None:
    listed = {(row["name"], row["version"]): row for row in cli.json("list")}
    assert {key: row["state"] for key, row in listed.items()} == {
        ("mail.send", 1): "no_live_worker",
        ("mail.send", 2): "live",
        ("old.report", 1): "no_live_worker",
    }
    assert [worker["worker"] for worker in listed["mail.send", 2]["workers"]] == ["mail@production"]
    assert listed["old.report", 1]["queue"] == "reports"
    lines = cli.run("list").stdout.splitlines()
    assert len(lines) == 3
    assert "1 live worker" in lines[1]
    assert "no live worker since" in lines[2]


def test_a_type_is_shown_with_its_spec_and_its_waiting_tasks(cli: Cli) -> None:
    ledger.run(cli.engine, lambda conn: submit.submit(conn, [new_task("old.report") for _ in range(3)]))
    (shown,) = cli.json("show", "old.report")
    assert (shown["waiting_tasks"], shown["spec"]) == (3, spec_named("old.report", queue="reports").as_json())
    assert [row["version"] for row in cli.json("show", "mail.send")] == [1, 2]
    text = cli.run("show", "mail.send", "--version", "2").stdout
    assert text.startswith("mail.send, version 2: 1 live worker\n  mail@production since ")
    assert "Sends a mail." in text
    assert "no task type 'mail.sent'" in cli.refused("show", "mail.sent")
    assert "no task type 'mail.send', version 9" in cli.refused("show", "mail.send", "--version", "9")


def test_a_type_is_shown_with_the_errors_that_are_final(cli: Cli) -> None:
    register_worker(cli.engine, spec_of(VOUCHER))
    text = cli.run("show", VOUCHER.name).stdout
    assert "never again    KeyError, AuthenticationFailed, InputUnusable, ValidationError\n" in text


def test_forgetting_says_what_it_would_do_and_does_it_only_with_yes(cli: Cli) -> None:
    ledger.run(cli.engine, lambda conn: submit.submit(conn, [new_task("old.report")]))
    told = cli.run("forget", "old.report")
    assert (told.returncode, told.stderr) == (0, "")
    assert "Would forget old.report, version 1; 1 of its tasks would stay" in told.stdout
    assert len(cli.json("list")) == 3
    done = cli.json("forget", "old.report", "--yes")
    assert done == {"name": "old.report", "versions": [1], "waiting_tasks": 1, "forgotten": True}
    assert len(cli.json("list")) == 2
    with cli.engine.connect() as conn:
        (row,) = conn.exec_driver_sql("SELECT actor, target_id, details FROM audit").all()
        assert conn.exec_driver_sql("SELECT count(*) FROM task").scalar_one() == 1
    assert row.actor.startswith("cli:")
    assert (row.target_id, row.details["waiting_tasks"]) == ("old.report", 1)
    assert "There is no task type" in cli.refused("forget", "old.report", "--yes")


def test_a_type_that_a_live_worker_has_is_not_forgotten(cli: Cli) -> None:
    assert "mail@production" in cli.refused("forget", "mail.send", "--yes")
    assert len(cli.json("list")) == 3
    assert cli.json("forget", "mail.send", "--version", "1", "--yes")["versions"] == [1]


def test_a_type_that_names_persons_stays_while_there_are_tasks_of_it(cli: Cli) -> None:
    with cli.engine.begin() as conn:
        conn.exec_driver_sql("""UPDATE task_type SET spec = spec || '{"params": {"properties": {
            "to": {"x-taskyard-person": true}}}}' WHERE name = 'old.report'""")
    ledger.run(cli.engine, lambda conn: submit.submit(conn, [new_task("old.report")]))
    assert "old.report stays: tasks of it are in the ledger" in cli.refused("forget", "old.report", "--yes")


@pytest.mark.parametrize("what", HOSTILE_ROWS)
def test_a_row_that_is_no_spec_is_shown_with_the_reason_and_can_be_forgotten(
    cli: Cli, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: a start of each command for each row would take minutes."""
    monkeypatch.setenv("TASKYARD_DATABASE_URL", cli.database_url)

    def run(*arguments: str) -> str:
        ended = CliRunner().invoke(app, [*arguments])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    plant(cli.engine, HOSTILE_ROWS[what])
    listed = {(row["name"], row["state"]) for row in json.loads(run("list", "--json"))}
    assert listed >= {("hostile", "refused"), ("mail.send", "live")}
    (shown,) = json.loads(run("show", "hostile", "--json"))
    assert shown["spec"] is None
    assert 0 < len(shown["refused"]) < 500
    assert f"refused: {shown['refused']}" in run("show", "hostile")
    assert json.loads(run("forget", "hostile", "--yes", "--json"))["versions"] == [1]
    assert len(json.loads(run("list", "--json"))) == 3


def test_exit_codes_are_those_of_the_other_commands(cli: Cli, postgres: Postgres) -> None:
    cli.refused("forget", "mail.send", "--version", "0", code=2)
    empty = postgres.create_database("no_types_here")
    for database_url, code in ((empty, 1), ("postgresql://127.0.0.1:1/x", 3)):
        ended = cli.run("list", database_url=database_url)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
    postgres.drop_database("no_types_here")
