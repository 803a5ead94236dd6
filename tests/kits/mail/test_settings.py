"""The settings of the mail kit come from the same variables and files as the platform's."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskyard.environment import InvalidSettings, read_kit_settings, read_settings
from taskyard_kits.mail.settings import MailSettings


def wrong(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    monkeypatch.setattr("os.environ", dict(variables))
    with pytest.raises(InvalidSettings) as caught:
        read_kit_settings(MailSettings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TASKYARD_SMTP_PORT", "smtp"),
        ("TASKYARD_SMTP_SECURITY", "ssl"),
        ("TASKYARD_SMTP_TIMEOUT_SECONDS", "0"),
        ("TASKYARD_SMTP_TIMEOUT_SECONDS", "hunter2"),
    ],
)
def test_a_wrong_value_stops_with_one_line_that_names_the_variable_that_was_set(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    said = wrong(monkeypatch, **{variable: value})
    assert said.startswith(f"{variable}: ")
    assert len(said.splitlines()) == 1
    assert "hunter2" not in said


def test_mail_is_encrypted_by_default_and_logins_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    assert read_kit_settings(MailSettings).smtp_security == "starttls"
    said = wrong(monkeypatch, TASKYARD_SMTP_SECURITY="none", TASKYARD_SMTP_USER="yard")
    assert said.startswith("TASKYARD_SMTP_SECURITY")
    assert len(said.splitlines()) == 1


def test_the_password_is_never_shown() -> None:
    settings = MailSettings.model_validate({"smtp_password": "hunter2"})
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in shown


def test_the_development_stack_s_mail_server_is_found_as_its_other_servers_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dev.env").write_text("TASKYARD_URL=http://127.0.0.1:8000\n")
    (tmp_path / "services.env").write_text("TASKYARD_SMTP_HOST=127.0.0.1\nTASKYARD_SMTP_PORT=1025\n")
    monkeypatch.setattr("os.environ", {"TASKYARD_DATA_DIR": str(tmp_path)})
    settings = read_kit_settings(MailSettings)
    assert (settings.smtp_host, settings.smtp_port) == ("127.0.0.1", 1025)


def test_a_mail_server_that_the_environment_names_gets_nothing_of_the_development_stack_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its port, and that it takes mails without encryption."""
    (tmp_path / "dev.env").write_text("TASKYARD_URL=http://127.0.0.1:8000\n")
    (tmp_path / "services.env").write_text(
        "TASKYARD_SMTP_HOST=127.0.0.1\nTASKYARD_SMTP_PORT=1025\nTASKYARD_SMTP_SECURITY=none\nTASKYARD_DIAGNOSTICS=1\n"
    )
    monkeypatch.setattr("os.environ", {"TASKYARD_DATA_DIR": str(tmp_path), "TASKYARD_SMTP_HOST": "mail.example"})
    found, usual = read_kit_settings(MailSettings), MailSettings()
    assert found.smtp_host == "mail.example"
    assert (found.smtp_port, found.smtp_security) == (usual.smtp_port, usual.smtp_security)
    assert read_settings().diagnostics is True
