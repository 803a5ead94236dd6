"""What `taskyard up` gives its services."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from taskyard.cli import app
from taskyard_dev import layout
from taskyard_dev.cli import up
from taskyard_dev.layout import Plan


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/bin"})
    monkeypatch.chdir(tmp_path)


def test_mail_goes_to_the_sink_in_the_clear_and_to_a_server_of_the_users_own_as_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = layout.mail_environment(1025)
    assert (ours["TASKYARD_SMTP_HOST"], ours["TASKYARD_SMTP_PORT"]) == ("127.0.0.1", "1025")
    assert ours["TASKYARD_SMTP_SECURITY"] == "none"
    own = {"TASKYARD_SMTP_HOST": "mail.example", "TASKYARD_SMTP_USER": "yard"}
    monkeypatch.setattr("os.environ", own)
    assert layout.mail_environment(1025) == own


def test_the_log_level_asked_for_is_that_of_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"TASKYARD_LOG_LEVEL": "error"})
    asked = layout.environment(Plan(tmp_path, log_level="debug"), "d", "r")
    assert asked["TASKYARD_LOG_LEVEL"] == "debug"
    assert layout.environment(Plan(tmp_path), "d", "r")["TASKYARD_LOG_LEVEL"] == "error"


def test_a_wrong_log_level_is_a_mistake_of_usage() -> None:
    app.command("up-here")(up)
    ended = CliRunner().invoke(app, ["up-here", "--log-level", "loud"])
    assert ended.exit_code == 2
    assert "TASKYARD_LOG_LEVEL: " in ended.output
