"""What arrives of email.* at a real SMTP server: the development sink."""

import datetime as dt
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from taskyard.catalogue.kits import load
from taskyard.domain.ids import new_id
from taskyard.running.trial import run_task
from taskyard.settings import Settings
from taskyard_dev.smtp_sink import Faults, Sink, smtp_sink
from taskyard_kits.mail import plain_text
from tests.kits.mail.sending import MAIL, body, failed, kept, send, settings
from tests.support.fleet import free_port


def test_both_parts_arrive_as_they_were_given(tmp_path: Path) -> None:
    text = "Grüße, 你好\n.a dot\nFrom here\n" + "long " * 500 + "\n"
    html = "<p>Grüße, 你好</p>" + "<b>x</b>" * 500 + "\n"
    given = MAIL | {
        "text": text,
        "html_content": html,
        "subject": "Grüße " * 20,
        "reply_to": "re@example.org",
    }
    with smtp_sink(tmp_path) as port:
        result = send(port, given).result
    (message,) = kept(tmp_path)
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]
    assert (body(message, "plain"), body(message, "html")) == (text, html)
    assert message["Subject"] == "Grüße " * 20
    assert (message["To"], message["Reply-To"]) == ("eva@example.org", "re@example.org")
    assert message["From"].addresses[0].display_name == "Yard Österreich"
    assert result["status"] == "sent"
    assert result["recipient"] == "eva@example.org"
    assert result["message_id"] == message["Message-ID"]
    assert not message.defects
    age = dt.datetime.now(dt.UTC) - message["Date"].datetime
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-8?q?=0ABcc:_x=40example.org?= hello",
        "=?utf-8?q?=0D=0A=0D=0Aanother_body?=",
        "=?utf-8?b?CkJjYzogeEBleGFtcGxlLm9yZw==?=",
        "=?utf-7?q?+AAo-Bcc?=",
        " leading, trailing ",
        "Bcc: x@example.org",
        "long " * 99 + "end",
        "😀" * 100,
    ],
)
def test_a_subject_is_never_more_than_a_subject(tmp_path: Path, subject: str) -> None:
    with smtp_sink(tmp_path) as port:
        assert send(port, MAIL | {"subject": subject}).result
    (message,) = kept(tmp_path)
    head = next(tmp_path.glob("*.eml")).read_bytes().partition(b"\r\n\r\n")[0]
    ours = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]
    assert {*ours, "Content-Transfer-Encoding"} >= set(message.keys()) >= set(ours)
    assert all(len(line) < 100 for line in head.split(b"\r\n"))
    assert message["Subject"] == subject
    assert body(message, "plain") == "Hello Eva\n"


def test_html_alone_gets_a_text_beside_it(tmp_path: Path) -> None:
    html = "<style>p{}</style><h1>Hello&nbsp;Eva</h1><p>See <a href='https://example.org/x?a=1&amp;b=2'>this</a></p>"
    with smtp_sink(tmp_path) as port:
        assert send(port, {k: v for k, v in MAIL.items() if k != "text"} | {"html_content": html}).result
    (message,) = kept(tmp_path)
    assert body(message, "plain").split() == [
        "Hello",
        "Eva",
        "See",
        "this",
        "(https://example.org/x?a=1&b=2)",
    ]


def test_text_alone_is_a_message_of_one_part(tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as port:
        assert send(port).result
    (message,) = kept(tmp_path)
    assert message.get_content_type() == "text/plain"


def test_a_repeat_has_the_same_message_id_and_another_task_has_not(tmp_path: Path) -> None:
    task_id = new_id()
    with smtp_sink(tmp_path) as port:
        for _ in range(2):
            assert run_task("email.send", MAIL, settings=settings(port), task_id=task_id).result
        assert send(port).result
    ids = [message["Message-ID"] for message in kept(tmp_path)]
    assert ids[0] == ids[1] == f"<{task_id}@example.com>"
    assert ids[2] != ids[0]


def test_an_international_address_is_delivered_where_the_server_can(tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as port:
        assert send(port, MAIL | {"to_email": "jürgen@bücher.example"}).result
    (message,) = kept(tmp_path)
    assert message["To"] == "jürgen@xn--bcher-kva.example"


def test_an_international_address_is_refused_where_the_server_cannot(tmp_path: Path) -> None:
    controller = Controller(Sink(tmp_path, Faults()), hostname="127.0.0.1", port=free_port(), enable_SMTPUTF8=False)
    controller.start()
    try:
        assert failed(send(controller.port, MAIL | {"to_email": "jürgen@example.org"})).code == "smtp_unsupported"
    finally:
        controller.stop()


WORDS = {"en": "Welcome to Yard", "de": "Willkommen bei Yard", "fr": "Bienvenue sur Yard", "hu": "Üdvözöljük"}


@pytest.mark.parametrize("language", WORDS)
def test_the_welcome_message_speaks_the_recipients_language(tmp_path: Path, language: str) -> None:
    given = {
        "to_email": "eva@example.org",
        "username": "Éva",
        "language": f"{language}-XX",
        "app_name": "Yard",
    }
    given["action_url"] = "https://example.org/start?a=1&b=2"
    with smtp_sink(tmp_path) as port:
        assert send(port, given, "email.send_welcome").result
    (message,) = kept(tmp_path)
    assert message["Subject"].startswith(WORDS[language])
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = body(message, "plain"), body(message, "html")
    assert "Éva" in text
    assert "Éva" in html
    assert f'<html lang="{language}">' in html
    assert "\nhttps://example.org/start?a=1&b=2\n" in text
    assert 'href="https://example.org/start?a=1&amp;b=2"' in html
    assert "{{" not in text + html


def test_html_in_a_name_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    name = "<script>alert('x')</script> & \"Co\" {{ 7 * 7 }}"
    with smtp_sink(tmp_path) as port:
        send(port, {"to_email": "e@example.org", "username": name, "language": "xx"}, "email.send_welcome")
    (message,) = kept(tmp_path)
    assert "<script" not in body(message, "html")
    assert "&lt;script&gt;" in body(message, "html")
    assert name in body(message, "plain")
    assert "href" not in body(message, "html")


@pytest.mark.parametrize(
    "html", ["", "<p>", "&#0;", "<" * 2000, "<a>" * 2000, "<!--", "<![CDATA[x", "<![x[ y", "\x00<p>\udcff"]
)
def test_a_text_is_made_of_any_html(html: str) -> None:
    assert plain_text.of_html(html).endswith("\n")


@pytest.mark.parametrize(
    "html",
    ["&#" + "9" * 100_000, '<a href="&#' + "9" * 5_000 + ';">x</a>', "&#x" + "f" * 100],
    ids=["text", "href", "hexadecimal"],
)
def test_html_of_which_no_text_can_be_made_is_a_final_error_that_says_so(tmp_path: Path, html: str) -> None:
    with smtp_sink(tmp_path) as port:
        params = {"to_email": "e@example.org", "subject": "s", "html_content": html}
        fault = failed(send(port, params))
        assert (fault.code, fault.retryable) == ("html_unreadable", False)
        assert "html_content" in fault.message
        send(port, params | {"text": "t"})
    assert len(kept(tmp_path)) == 1, "with a text of its own it is sent as it is"


def test_the_catalogue_calls_the_fields_as_the_older_systems_did() -> None:
    types = load(Settings()).catalogue
    assert {"to_email", "subject", "html_content"} < set(types["email.send"].params.model_fields)
    assert {"to_email", "username"} < set(types["email.send_welcome"].params.model_fields)
    assert {"status", "recipient", "sent_at"} < set(types["email.send"].result.model_fields)
