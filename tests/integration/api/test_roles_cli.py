"""`taskyard-api roles`: who may submit in transactions of its own, to which queues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from taskyard.store import ledger
from tests.support.applications import application, role_of, submit
from tests.support.scheduling import execute
from tests.support.specs import register_kits

BIN = Path(sys.executable).parent / "taskyard-api"


class Cli:
    def __init__(self, engine: Engine, database_url: str, app: str) -> None:
        self.engine, self.database_url, self.app, self.role = engine, database_url, app, role_of(app)

    def run(self, *arguments: str, database_url: str | None = None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
        env["TASKYARD_DATABASE_URL"] = database_url or self.database_url
        return subprocess.run(
            [str(BIN), "roles", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
        )

    def json(self, *arguments: str) -> Any:
        ended = self.run(*arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def refused(self, *arguments: str, code: int = 1, database_url: str | None = None) -> str:
        """The one line on standard error."""
        ended = self.run(*arguments, database_url=database_url)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1), ended.stderr
        return ended.stderr

    def may_submit(self, options: str = "{}") -> bool:
        with psycopg.connect(self.app) as conn:
            try:
                submit(conn, "diagnostics.echo", options=options)
            except psycopg.Error as e:
                if e.sqlstate not in {"42501", "TY422"}:
                    raise
                return False
        return True


@pytest.fixture
def cli(engine: Engine, database_url: str) -> Iterator[Cli]:
    register_kits(engine)
    with application(engine, database_url, grant=False) as app:
        yield Cli(engine, database_url, app)


def test_a_role_submits_from_its_grant_to_its_revocation(cli: Cli) -> None:
    assert not cli.may_submit()
    assert cli.json("grant", cli.role) == {"role": cli.role, "queues": None, "right_over_ledger": None}
    assert cli.may_submit()
    cli.json("grant", cli.role, "--queue", "low_priority")
    assert not cli.may_submit()
    assert [(r["role"], r["queues"], r["is_granted"]) for r in cli.json("list")] == [(cli.role, ["low_priority"], True)]
    assert "low_priority" in cli.run("list").stdout
    assert cli.json("revoke", cli.role) == {"revoked": cli.role}
    assert not cli.may_submit()
    assert cli.json("list") == []
    actions = execute(cli.engine, "SELECT action, target_id FROM audit ORDER BY id").all()
    assert actions == [("role.grant", cli.role), ("role.grant", cli.role), ("role.revoke", cli.role)]


def test_members_of_a_granted_role_submit_by_it(cli: Cli) -> None:
    group = f"{cli.role}_group"
    with ledger.transaction(cli.engine) as conn:
        conn.exec_driver_sql(f"CREATE ROLE {group}")
        conn.exec_driver_sql(f"GRANT {group} TO {cli.role}")
    try:
        cli.json("grant", group)
        assert cli.may_submit()
    finally:
        with ledger.transaction(cli.engine) as conn:
            conn.exec_driver_sql(f"DROP OWNED BY {group}")
            conn.exec_driver_sql(f"DROP ROLE {group}")
    assert not cli.may_submit()
    assert [(r["role"], r["is_granted"]) for r in cli.json("list")] == [(group, False)]


@pytest.mark.long
def test_what_cannot_be_granted_is_told_in_one_line(cli: Cli) -> None:
    assert "PostgreSQL has no role 'no_such'" in cli.refused("grant", "no_such")
    assert "there is no such queue" in cli.refused("grant", cli.role, "--queue", "no_such", code=2)
    assert "was not granted" in cli.refused("revoke", cli.role)
    assert "needs the role that owns the tables" in cli.refused("grant", cli.role, database_url=cli.app)
    assert cli.json("list") == []


def test_a_role_that_can_change_the_ledger_anyway_is_named(cli: Cli) -> None:
    execute(cli.engine, f"GRANT UPDATE ON task TO {cli.role}")
    assert cli.json("grant", cli.role)["right_over_ledger"] == "UPDATE ON task"
