"""Messages made from templates: their words, their links, and the secrets in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskyard.catalogue.kits import load
from taskyard.domain.tasks import Failed
from taskyard.running.trial import NotAdmitted, TaskRun, run_task
from taskyard.settings import Settings
from taskyard_dev.smtp_sink import smtp_sink
from taskyard_kits.mail import templates
from tests.kits.mail.sending import body, kept, send, settings
from tests.kits.mail.test_server import server  # noqa: F401 - a fixture
from tests.kits.mail.test_server import settings as of_server
from tests.support.mail_server import MailServer

TOKEN = "a1B2-c3_D4.e5~F6"
GIVEN = {"to_email": "eva@example.org", "username": "Éva", "token": TOKEN, "app_name": "Yard"}
SUBJECTS = {
    "email.send_verification": {
        "en": "Confirm your address for Yard",
        "de": "Bestätigen Sie Ihre Adresse für Yard",
        "fr": "Confirmez votre adresse pour Yard",
        "hu": "Erősítse meg a címét \N{EN DASH} Yard",
    },
    "email.send_password_reset": {
        "en": "Set a new password for Yard",
        "de": "Neues Passwort für Yard",
        "fr": "Nouveau mot de passe pour Yard",
        "hu": "Új jelszó beállítása \N{EN DASH} Yard",
    },
}


@pytest.mark.parametrize("language", templates.LANGUAGES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_message_with_a_token_speaks_the_recipients_language_and_has_the_link(
    tmp_path: Path, name: str, language: str
) -> None:
    given = GIVEN | {"language": f"{language}-XX", "action_url": "https://example.org/do?a=1#end"}
    with smtp_sink(tmp_path) as port:
        assert send(port, given | {"expires_in_minutes": 45}, name).result
    (message,) = kept(tmp_path)
    assert message["Subject"] == SUBJECTS[name][language]
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = body(message, "plain"), body(message, "html")
    assert f"\nhttps://example.org/do?a=1&token={TOKEN}#end\n" in text
    assert f'href="https://example.org/do?a=1&amp;token={TOKEN}#end"' in html
    for part in (text, html):
        assert "Éva" in part
        assert "45" in part
        assert "{{" not in part
    assert f'<html lang="{language}">' in html


@pytest.mark.parametrize("name", SUBJECTS)
def test_without_a_link_the_message_shows_the_token_as_a_code(tmp_path: Path, name: str) -> None:
    with smtp_sink(tmp_path) as port:
        assert send(port, GIVEN | {"token": "123456"}, name).result
    (message,) = kept(tmp_path)
    assert "\nYour code: 123456\n" in body(message, "plain")
    assert "Your code: 123456" in body(message, "html")
    assert "href" not in body(message, "html")
    assert "minutes" not in body(message, "plain"), "where no time was given, none is told"


@pytest.mark.parametrize("name", SUBJECTS)
def test_html_in_a_value_is_shown_and_not_obeyed(tmp_path: Path, name: str) -> None:
    odd = "<img src=x onerror=alert(1)> {{ 7 * 7 }}"
    with smtp_sink(tmp_path) as port:
        assert send(port, GIVEN | {"username": odd, "app_name": "<b>Yard"}, name).result
    (message,) = kept(tmp_path)
    assert "<img" not in body(message, "html")
    assert "<b>" not in body(message, "html")
    assert odd in body(message, "plain")


@pytest.mark.parametrize("language", templates.LANGUAGES)
def test_every_template_is_there_in_every_language(language: str) -> None:
    names = {path.parent.parent.name for path in Path(templates.__file__).parent.glob("*/*/body.html.j2")}
    assert names == {"welcome", "verification", "password_reset", "newsletter"}
    for name in names:
        folder = Path(templates.__file__).parent / name / language
        assert {path.name for path in folder.iterdir()} == {"subject.txt.j2", "text.txt.j2", "body.html.j2"}


def test_a_password_reset_goes_before_everything_else() -> None:
    catalogue = load(Settings()).catalogue
    assert catalogue["email.send_password_reset"].queue == "high_priority"
    assert catalogue["email.send_newsletter"].queue == "low_priority"


# The token


def told(run: TaskRun) -> str:
    """All that is kept of a run."""
    return repr((run.outcome, run.logs, run.progress, run.stages))


@pytest.mark.parametrize("word", ["eva", "echo", "refused", "mute", "closing"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_token_stands_in_the_mail_and_nowhere_else(
    server: MailServer,  # noqa: F811
    name: str,
    word: str,
) -> None:
    """Not even the piece of it that a server quotes, as `echo` does."""
    given = GIVEN | {"to_email": f"{word}@example.org"}
    run = run_task(name, given, settings=of_server(server))
    assert TOKEN not in told(run)
    assert TOKEN[:8] not in told(run)
    if word == "echo":
        assert isinstance(run.outcome, Failed)
        assert "554 5.6.0" in run.fault.message, "its codes are told"


def test_a_token_is_stored_encrypted() -> None:
    for name in SUBJECTS:
        schema = load(Settings()).catalogue[name].params.model_json_schema()
        assert schema["properties"]["token"]["writeOnly"] is True


@pytest.mark.parametrize("token", ["", "abc", "a b c d", "a/b?c=d", "x" * 501, "täken", "abcd\n"])
def test_a_token_that_a_link_would_change_is_refused_without_being_quoted(token: str) -> None:
    with pytest.raises(NotAdmitted) as refused:
        run_task("email.send_verification", GIVEN | {"token": token}, settings=settings(1))
    assert "/token" in str(refused.value)
    assert not token.strip() or token not in str(refused.value)


def test_lists_are_left_with_one_click(tmp_path: Path) -> None:
    """RFC 2369 and RFC 8058; a long address is one word on one line."""
    url = "https://example.org/leave?" + "u=1234567890&" * 60 + "e"
    given: dict[str, Any] = {"to_email": "eva@example.org", "subject": "News", "text": "News"}
    with smtp_sink(tmp_path) as port:
        assert send(port, given | {"unsubscribe_url": url}).result
        assert send(port, given | {"unsubscribe_url": "http://example.org/leave"}).result
        assert send(port, given).result
    first, second, third = kept(tmp_path)
    assert first["List-Unsubscribe"] == f"<{url}>"
    assert first["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert (second["List-Unsubscribe"], second["List-Unsubscribe-Post"]) == ("<http://example.org/leave>", None)
    assert third["List-Unsubscribe"] is None
    head = min(tmp_path.glob("*.eml")).read_bytes().partition(b"\r\n\r\n")[0]
    assert f"List-Unsubscribe: <{url}>".encode() in head.split(b"\r\n")
