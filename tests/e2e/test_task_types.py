"""What types do and how they fail, as their users see both: one stack, a mail server, and the answers of the API."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from taskyard_dev.smtp_sink import Faults, smtp_sink
from tests.support.fleet import Fleet
from tests.support.heavy_images import chunk, png

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Stack(Fleet):
    mails: Path

    def ended(self, state: str, name: str, **params: Any) -> Any:
        """The task, as it is read in German."""
        task_id = self.submit(name, params, max_attempts=1)
        self.wait_state(task_id, state, seconds=40)
        return self.http.get(f"/tasks/{task_id}", headers={"Accept-Language": "de"}).json()

    def upload(self, content: bytes) -> str:
        answer = self.http.post("/tree-items", content=content, headers={"X-Filename": "given"})
        return str(answer.json()["item_id"])

    def mail_to(self, address: str) -> EmailMessage:
        """The only one."""
        read = (message_from_bytes(mail.read_bytes(), policy=policy.default) for mail in self.mails.glob("*.eml"))
        (found,) = (message for message in read if message["To"] == address)
        return found


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("types"), new_database(), new_redis_url())
    made.mails = made.home / "mails"
    with smtp_sink(made.mails, faults=Faults(refuse="nobody")) as port:
        made.environment |= {
            "TASKYARD_SMTP_HOST": "127.0.0.1",
            "TASKYARD_SMTP_PORT": str(port),
            "TASKYARD_SMTP_SECURITY": "none",
        }
        try:
            made.start_all(queues="high_priority,default,low_priority")
            yield made
        finally:
            made.stop()


TOKEN = "tok-en_1234"
MAILS: dict[str, dict[str, Any]] = {
    "email.send": {"subject": "Panel", "text": "The draw is on Friday."},
    "notifications.send": {"message": "Your panel is drawn."},
    "email.send_welcome": {"username": "Ada"},
    "email.send_verification": {"username": "Ada", "token": TOKEN, "language": "fr"},
    "email.send_password_reset": {"username": "Ada", "token": TOKEN, "action_url": "https://example.org/new?a=b"},
}
SAID = {
    "email.send": "The draw is on Friday.",
    "notifications.send": "Your panel is drawn.",
    "email.send_welcome": "Ada",
    "email.send_verification": TOKEN,
    "email.send_password_reset": f"https://example.org/new?a=b&token={TOKEN}",
}


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_arrives_and_its_token_is_told_to_its_recipient_alone(stack: Stack, name: str) -> None:
    address = f"{name}@example.org"
    task = stack.ended("succeeded", name, to_email=address, **MAILS[name])
    message = stack.mail_to(address)
    plain = message.get_body(("plain",))
    assert plain is not None
    assert SAID[name] in plain.get_content()
    assert task["result"]["message_id"] == message["Message-ID"]
    assert TOKEN not in str(task)


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_that_is_refused_fails_with_what_the_server_said(stack: Stack, name: str) -> None:
    error = stack.ended("failed", name, to_email="nobody@example.org", **MAILS[name])["error"]
    assert (error["code"], error["retryable"]) == ("smtp_refused", False)
    assert error["message"].startswith("Der Mailserver hat den Empfänger abgelehnt (550")


def test_lines_are_counted_and_a_thumbnail_is_made(stack: Stack) -> None:
    text = stack.upload(b"1\n\nb\n")
    counted = stack.ended("succeeded", "files.process_large_file", item_id=text, pattern="[0-9]")["result"]
    assert (counted["processed_lines"], counted["blank_lines"], counted["invalid_line_numbers"]) == (3, 1, [2, 3])
    image = stack.upload(png(40, 20, 8, 2))
    small = stack.ended("succeeded", "files.generate_thumbnail", item_id=image, width=10, height=10)["result"]
    assert (small["width"], small["height"], small["parent_id"]) == (10, 5, image)
    assert len(stack.http.get(f"/tree-items/{small['item_id']}/content").content) == small["size"]


def test_memory_is_taken_and_given_back(stack: Stack) -> None:
    assert stack.ended("succeeded", "diagnostics.allocate", megabytes=1)["result"] == {"megabytes": 1}


def bomb() -> bytes:
    """3,600 million pixels in a hundred bytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# A type, what it is given, the code that it fails with, and how the sentence begins.
FAILURES: dict[str, tuple[Callable[[Stack], dict[str, Any]], str, str]] = {
    "files.process_large_file": (
        lambda stack: {"item_id": str(uuid4())},
        "item_not_found",
        "Es gibt keine gespeicherte Datei mit dieser Id.",
    ),
    "files.generate_thumbnail": (
        lambda stack: {"item_id": stack.upload(bomb())},
        "image_too_large",
        "Das Bild hat mehr als 64 Millionen Pixel.",
    ),
    "users.create_profile": (lambda stack: {"user_id": 7}, "user_not_found", "Für den Schlüssel, der dies"),
    "users.update_stats": (lambda stack: {"user_id": 7}, "user_not_found", "Für den Schlüssel, der dies"),
    "notifications.send": (
        lambda stack: {"user_id": 7, "message": "Hello"},
        "user_not_found",
        "Für den Schlüssel, der dies",
    ),
    "email.send_newsletter": (
        lambda stack: {"recipients": [{"to_email": "a@example.org"}], "subject": "News", "text": "{{ nme }}"},
        "placeholder_unknown",
        "Der Newsletter hat den Platzhalter {{ nme }}, den es nicht gibt.",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_a_type_cannot_do_is_told_in_the_readers_language(stack: Stack, name: str) -> None:
    given, code, sentence = FAILURES[name]
    task = stack.ended("failed", name, **given(stack))
    assert (task["error"]["code"], task["error"]["retryable"]) == (code, False)
    assert task["error"]["message"].startswith(sentence)


def test_memory_that_is_held_for_too_long_is_a_time_limit(stack: Stack) -> None:
    params = {"megabytes": 1, "hold_seconds": 60}
    task_id = stack.submit("diagnostics.allocate", params, soft_timeout_seconds=1, max_attempts=1)
    stack.wait_state(task_id, "failed", seconds=30)
    error = stack.http.get(f"/tasks/{task_id}", headers={"Accept-Language": "de"}).json()["error"]
    assert error["code"] == "soft_time_limit"
    assert error["message"].startswith("Sie lief länger als ihr weiches Zeitlimit von 1")


@pytest.mark.parametrize("name", ["files.cleanup_temporary", "maintenance.cleanup_expired_data"])
def test_a_temporary_directory_that_is_none_is_told_by_the_name_of_its_setting(stack: Stack, name: str) -> None:
    temp, away = stack.home / "temp", stack.home / "away"
    temp.rename(away)
    temp.touch()
    try:
        error = stack.ended("failed", name)["error"]
    finally:
        temp.unlink()
        away.rename(temp)
    assert (error["code"], error["retryable"]) == ("temp_dir_unusable", False)
    assert error["message"].startswith("TASKYARD_TEMP_DIR des Workers ist kein Verzeichnis")
