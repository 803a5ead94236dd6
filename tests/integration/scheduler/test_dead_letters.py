"""`taskyard-scheduler dead-letters`: nothing is changed before the count is confirmed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine
from typer.testing import CliRunner

from taskyard.broker.names import Names
from taskyard.lifecycle.workers import ensure_queues
from taskyard.store import ledger
from taskyard_scheduler import dead_letters_cli
from tests.support.cases import one_in
from tests.support.scheduling import execute, put_in, scalar

Command = Callable[..., subprocess.CompletedProcess[str]]
ERROR = '{"code": "%s", "message": "It went\\u001b[2J wrong.\\nReally.", "attempt": 1}'
VERBS = ("retry", "discard")


@pytest.fixture
def command(database_url: str, redis_url: str, engine: Engine) -> Command:
    with ledger.connection(engine) as conn:
        ensure_queues(conn, ["default", "low_priority"])

    def run(*arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
        urls = {"TASKYARD_DATABASE_URL": database_url, "TASKYARD_REDIS_URL": redis_url}
        return subprocess.run(
            [sys.executable, "-m", "taskyard_scheduler.cli", "dead-letters", *arguments],
            env={**kept, **urls, **environment},
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def dead(engine: Engine, count: int, *, code: str = "boom", queue: str = "default") -> list[str]:
    ids = [task.id for task in put_in(engine, count, queue=queue).answer]
    execute(
        engine,
        "UPDATE task SET state = 'failed', finished_at = now(), error = CAST(:error AS jsonb) WHERE id = ANY(:ids)",
        error=ERROR % code,
        ids=ids,
    )
    return [str(task_id) for task_id in ids]


def left(engine: Engine) -> int:
    return int(scalar(engine, "SELECT count(*) FROM task WHERE state = 'failed' AND discarded_at IS NULL"))


@pytest.mark.parametrize("name", ["list", *VERBS])
def test_help_has_examples(command: Command, name: str) -> None:
    shown = command(name, "--help")
    assert shown.returncode == 0
    assert f"taskyard-scheduler dead-letters {name}" in shown.stdout


def test_the_list_shows_what_failed_and_why(command: Command, engine: Engine) -> None:
    ids = dead(engine, 2) + dead(engine, 1, code="other", queue="low_priority")
    shown = command("list")
    assert shown.returncode == 0, shown.stderr
    *lines, last = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert lines[0].endswith("low_priority  diagnostics.echo  other  It went?[2J wrong. Really.")
    assert last == "3 tasks."
    assert "2 tasks, 1 shown." in command("list", "--code", "boom", "--limit", "1").stdout
    found = json.loads(command("list", "--queue", "low_priority", "--json").stdout)
    assert (found["matched"], [item["id"] for item in found["items"]]) == (1, ids[2:])
    assert found["items"][0]["error"]["code"] == "other"
    assert json.loads(command("list", "--name", "email.send", "--json").stdout) == {"matched": 0, "items": []}
    border = "2026-01-01T00:00:00Z"
    assert json.loads(command("list", "--created-before", border, "--json").stdout)["matched"] == 0
    assert json.loads(command("list", "--created-after", border, "--json").stdout)["matched"] == 3


@pytest.mark.parametrize("verb", one_in(2, VERBS, begin=1))
def test_the_count_has_to_be_typed(command: Command, engine: Engine, verb: str) -> None:
    dead(engine, 3)
    for typed in ("\n", "y\n", "4\n", "30\n", ""):
        refused = command(verb, "--all", typed=typed)
        assert refused.returncode == 1, typed
        assert f"Type 3 to {verb} 3 tasks" in refused.stderr
        assert refused.stdout == ""
    assert left(engine) == 3
    done = command(verb, "--all", "--json", typed="3\n")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"matched": 3, "changed": 3})
    assert left(engine) == 0


@pytest.mark.parametrize("verb", one_in(2, VERBS, begin=1))
def test_a_script_passes_the_count_as_an_option(command: Command, engine: Engine, verb: str) -> None:
    dead(engine, 3)
    for count in ("0", "2", "4"):
        refused = command(verb, "--code", "boom", "--yes", count)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "nothing was done" in refused.stderr
    assert left(engine) == 3
    assert command(verb, "--code", "boom", "--yes", "3").returncode == 0
    assert left(engine) == 0
    assert command(verb, "--code", "boom", "--yes", "0").returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_asks_nothing_and_changes_nothing(command: Command, engine: Engine, verb: str) -> None:
    ids = dead(engine, 12)
    answer = json.loads(command(verb, "--all", "--dry-run", "--json").stdout)
    assert (answer["matched"], answer["changed"], [t["id"] for t in answer["sample"]]) == (12, 0, ids[:10])
    shown = command(verb, *ids[:2], "--dry-run")
    assert (shown.returncode, shown.stdout.splitlines()[-1]) == (0, f"Would {verb} 2 tasks.")
    assert left(engine) == 12


def test_more_than_a_thousand_are_changed_in_several_steps(command: Command, engine: Engine) -> None:
    dead(engine, 1003)
    assert command("retry", "--all", "--yes", "1003", TASKYARD_REPLAY_PER_SECOND="100").returncode == 0
    assert left(engine) == 0
    span = "SELECT extract(epoch FROM max(due_at) - min(due_at))::float FROM task"
    assert scalar(engine, span) == pytest.approx(10.02)
    assert scalar(engine, "SELECT count(*) FROM audit WHERE action = 'dead_letters.retry'") == 2


def test_the_timeline_and_the_audit_log_name_the_actor(
    command: Command, engine: Engine, redis_client: redis.Redis
) -> None:
    one, other, rest = dead(engine, 3)
    assert command("retry", one, "--yes", "1").returncode == 0
    assert command("discard", other, "--yes", "1").returncode == 0
    assert left(engine) == 1
    actor = scalar(engine, "SELECT actor FROM audit WHERE action = 'dead_letters.retry'")
    assert actor.startswith("cli:")
    for task_id in (one, other):
        found = scalar(engine, "SELECT data ->> 'by' FROM task_event WHERE task_id = :id", id=UUID(task_id))
        assert found == actor
    # The scheduler is woken for what is due.
    assert redis_client.llen(Names().wake_scheduler) == 1
    assert scalar(engine, "SELECT state FROM task WHERE id = :id", id=UUID(rest)) == "failed"


def test_a_retry_works_without_redis(command: Command, engine: Engine) -> None:
    dead(engine, 1)
    done = command("retry", "--all", "--yes", "1", TASKYARD_REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (0, "1 task will run again.\n")
    assert left(engine) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("not-an-id",),
        ("00000000-0000-7000-8000-000000000001", "--all"),
        ("00000000-0000-7000-8000-000000000001", "--name", "x"),
        ("--all", "--code", "x"),
        ("--all", "--yes", "-1"),
        ("--all", "--yes", "many"),
        ("--created-after", "yesterday"),
        ("--created-after", "2026-01-31T12:00:00"),
        ("--created-before", "0001-01-01T00:00:00+14:00"),
        ("--name", ""),
        ("--code", "a\nb"),
        ("--queue", "x" * 201),
    ],
    ids=str,
)
@pytest.mark.parametrize("verb", VERBS)
def test_contradictory_or_malformed_arguments_are_wrong_usage(verb: str, arguments: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(dead_letters_cli.app, [verb, *arguments], input="1\n")
    assert refused.exit_code == 2, refused.output
    assert isinstance(refused.exception, SystemExit)


def test_a_database_that_is_away_or_not_migrated_is_reported_in_one_line(
    command: Command, new_database: Callable[[], str]
) -> None:
    for name in ("list", *VERBS):
        more: tuple[str, ...] = () if name == "list" else ("--all",)
        gone = command(name, *more, TASKYARD_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
        assert (gone.returncode, gone.stderr.count("\n")) == (3, 1)
    url = new_database()
    engine = ledger.make_engine(url)
    execute(engine, "DROP TABLE task CASCADE")
    engine.dispose()
    empty = command("list", TASKYARD_DATABASE_URL=url)
    assert (empty.returncode, empty.stderr.count("\n")) == (1, 1)


def test_unknown_ids_do_not_match(command: Command, engine: Engine) -> None:
    (one,), unknown = dead(engine, 1), "00000000-0000-7000-8000-000000000001"
    answer: Any = json.loads(command("retry", one, unknown, "--dry-run", "--json").stdout)
    assert answer["matched"] == 1
