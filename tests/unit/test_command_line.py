"""What both command lines say before they send anything."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from taskyard.cli import app
from taskyard_client import cli


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKYARD_URL", "http://nobody.invalid")
    monkeypatch.setenv("TASKYARD_API_KEY", "ty_se cret")


def test_a_key_that_is_none_is_told_in_a_line() -> None:
    done = CliRunner().invoke(app, ["tasks", "submit", "a.b"])
    assert done.exit_code == 2
    assert done.stderr == "taskyard: the API key is empty, or has characters that no key has\n"


def test_the_relay_tells_a_key_that_is_none_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["relay", "--database-url", "postgresql://nobody.invalid/x", "--once"]) == 2
    assert capsys.readouterr().err == "taskyard-client relay: the API key is empty, or has characters that no key has\n"


@pytest.mark.parametrize("key", ["", "k" * 256, "\u00e9", "a\nb"])
def test_an_idempotency_key_that_is_none_is_a_wrong_parameter(key: str) -> None:
    done = CliRunner().invoke(app, ["tasks", "submit", "a.b", "--idempotency-key", key])
    assert done.exit_code == 2
    assert "255" in done.stderr
