"""What `taskyard up` gives its services."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from taskyard.commands import typer_app
from taskyard.environment import env_file
from taskyard_dev import layout
from taskyard_dev.cli import up
from taskyard_dev.console import Console
from taskyard_dev.layout import Plan
from taskyard_dev.stack import elsewhere


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/bin"})
    monkeypatch.chdir(tmp_path)


def test_mail_goes_to_the_sink_or_to_the_server_that_the_user_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = Plan(tmp_path)
    ours = layout.mail_environment(1025)
    assert (ours["TASKYARD_SMTP_HOST"], ours["TASKYARD_SMTP_PORT"]) == ("127.0.0.1", "1025")
    assert ours["TASKYARD_SMTP_SECURITY"] == "none"
    assert layout.mails_of(ours, plan) == str(plan.mails)
    own = {"TASKYARD_SMTP_HOST": "mail.example", "TASKYARD_SMTP_USER": "yard"}
    monkeypatch.setattr("os.environ", own)
    assert layout.mail_environment(1025) == own
    assert "mail.example" in layout.mails_of(own, plan)
    assert str(plan.mails) not in layout.mails_of(own, plan)


def test_workers_alone_get_the_role_of_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"TASKYARD_TASK_DATABASE_URL": "inherited"})
    plan = Plan(tmp_path)
    common = layout.environment(plan, "d", "r")
    of_workers = {"TASKYARD_TASK_DATABASE_URL": "own"}
    with layout.Ports() as free:
        services = layout.services(plan, common, of_workers, free, console=Console(), api=1)
    given = {service.name: service.environment.get("TASKYARD_TASK_DATABASE_URL") for service in services}
    assert given == {"worker": "own", "worker-geo": "own", "scheduler": None, "api": None}


def test_the_log_level_asked_for_is_that_of_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"TASKYARD_LOG_LEVEL": "error"})
    asked = layout.environment(Plan(tmp_path, log_level="debug"), "d", "r")
    assert asked["TASKYARD_LOG_LEVEL"] == "debug"
    assert layout.environment(Plan(tmp_path), "d", "r")["TASKYARD_LOG_LEVEL"] == "error"


def up_here(*options: str) -> Result:
    command = typer_app("here", "")
    command.command()(up)
    return CliRunner().invoke(command, list(options))


def test_a_wrong_log_level_is_a_mistake_of_usage() -> None:
    ended = up_here("--log-level", "loud")
    assert ended.exit_code == 2
    assert "TASKYARD_LOG_LEVEL: " in ended.output


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = up_here("--data-dir", str(tmp_path / "file" / "data"))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == f"taskyard up: {tmp_path}/file/data: Not a directory; choose another TASKYARD_DATA_DIR\n"


@pytest.mark.parametrize("started_before", [False, True])
def test_an_unreachable_database_of_the_user_is_one_line_and_never_replaced_by_the_embedded_one(
    started_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"TASKYARD_DATABASE_URL": "postgres://x@127.0.0.1:1/x", "TASKYARD_REDIS_URL": "redis://127.0.0.1:1/0"}
    monkeypatch.setattr("os.environ", {"PATH": "/bin", **own})
    if started_before:
        (tmp_path / "dev.env").write_text(env_file(own))
    ended = up_here("--data-dir", str(tmp_path))
    assert (ended.exit_code, ended.stdout) == (3, ""), ended.output
    assert ended.stderr.startswith("taskyard up: PostgreSQL can't be used: connection failed")
    assert ended.stderr.count("\n") == 1


def test_addresses_with_the_embedded_servers_passwords_mean_those_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://taskyard:of-ours@127.0.0.1:40000/taskyard"
    monkeypatch.setattr("os.environ", {"TASKYARD_DATABASE_URL": url})
    assert elsewhere("TASKYARD_DATABASE_URL", tmp_path) == url
    (tmp_path / "password").write_text("of-ours\n")
    assert elsewhere("TASKYARD_DATABASE_URL", tmp_path) is None
