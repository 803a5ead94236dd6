"""email.* over real SMTP conversations: with the development sink, and with servers that do worse."""

import asyncio
import datetime as dt
import email
import email.policy
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from taskyard.catalogue.kits import load
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, Fault, RetryIn
from taskyard.running.trial import TaskRun, run_task
from taskyard.settings import Settings
from taskyard_dev.smtp_sink import Faults, Sink, smtp_sink
from taskyard_kits.mail import plain_text
from taskyard_kits.mail.settings import MailSettings
from tests.support.certificates import Authority
from tests.support.fleet import free_port

MAIL = {"to_email": "eva@example.org", "subject": "Hello", "text": "Hello Eva"}


def settings(port: int, **more: Any) -> MailSettings:
    base = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_timeout_seconds": 2.0, "smtp_security": "none"}
    # The servers of this module run in this process and stop with the test: no connection may outlive it.
    base |= {"smtp_idle_seconds": 0.0}
    return MailSettings.model_validate(base | {"mail_from": "Yard Österreich <yard@example.com>"} | more)


def send(port: int, params: dict[str, Any] | None = None, name: str = "email.send", **more: Any) -> TaskRun:
    return run_task(name, params or MAIL, settings=settings(port, **more))


def failed(run: TaskRun) -> Fault:
    assert isinstance(run.outcome, Failed), run.outcome
    assert not run.outcome.fault.retryable
    return run.outcome.fault


def put_off(run: TaskRun) -> Fault:
    assert isinstance(run.outcome, RetryIn), run.outcome
    return run.outcome.fault


def kept(directory: Path) -> list[EmailMessage]:
    files = sorted(directory.glob("*.eml"))
    return [email.message_from_bytes(f.read_bytes(), policy=email.policy.default) for f in files]


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


# What arrives


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


# What goes wrong


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


def test_a_refused_recipient_is_not_tried_again(tmp_path: Path) -> None:
    with smtp_sink(tmp_path, faults=Faults(refuse="nobody")) as port:
        fault = failed(send(port, MAIL | {"to_email": "nobody@example.org"}))
    assert fault.code == "smtp_refused"
    assert "recipient" in fault.message
    assert "550 5.1.1 no such mailbox" in fault.message
    assert kept(tmp_path) == []


def test_a_server_that_puts_off_is_tried_again_and_gets_it_once(tmp_path: Path) -> None:
    with smtp_sink(tmp_path, faults=Faults(put_off=1)) as port:
        fault = put_off(send(port))
        assert (fault.code, fault.retryable) == ("smtp_temporary", True)
        assert "451" in fault.message
        assert kept(tmp_path) == []
        assert send(port).result
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_server_that_is_away_is_tried_again_soon(host: str) -> None:
    run = send(free_port(), smtp_host=host)
    assert put_off(run).code == "smtp_unreachable"
    assert isinstance(run.outcome, RetryIn)
    assert run.outcome.delay <= dt.timedelta(seconds=5)


def test_without_a_server_the_operator_is_named() -> None:
    fault = failed(run_task("email.send", MAIL, settings=MailSettings.model_validate({"smtp_host": None})))
    assert fault.code == "smtp_not_configured"
    assert "TASKYARD_SMTP_HOST" in fault.message


@contextmanager
def scripted(conversation: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of one connection that follows a script instead of the protocol."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(ConnectionError):
                conversation(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def script(*answers: bytes, then: Callable[[socket.socket], object] = lambda _: None) -> Callable[..., None]:
    def converse(connection: socket.socket) -> None:
        for answer in answers:
            connection.sendall(answer + b"\r\n")
            connection.recv(65536)
        then(connection)

    return converse


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([b"554 no service here"], "smtp_refused"),
        ([b"421 too busy"], "smtp_temporary"),
        ([b"220 hi", b"250 hi", b"250 ok", b"450 greylisted"], "smtp_temporary"),
        ([b"220 hi", b"250 hi", b"550 we know you"], "smtp_refused"),
        ([b"220 hi", b"250 hi", b"530 log in first"], "smtp_auth_failed"),
        ([b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go", b"552 too large"], "smtp_refused"),
        ([b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go", b"452 disk full"], "smtp_temporary"),
        ([b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go"], "smtp_no_verdict"),
        ([b"220 hi"], "smtp_unreachable"),
        ([], "smtp_unreachable"),
        ([b"hello this is no smtp"], "smtp_not_smtp"),
        ([b"220 hi", b"\xff\xfe" * 10], "smtp_unreachable"),
        ([b"220 hi", b"250 hi", b"hello this is no smtp"], "smtp_not_smtp"),
        ([b"220 hi", b"250 hi", b"250 ok", b"hello this is no smtp"], "smtp_not_smtp"),
        ([b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"hello this is no smtp"], "smtp_not_smtp"),
        ([b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go", b"hello this is no smtp"], "smtp_not_smtp"),
        ([b"220 hi", b"250-" + b"x" * 100_000], "smtp_not_smtp"),
        ([b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go", b"2" * 100_000], "smtp_not_smtp"),
    ],
)
def test_every_answer_of_a_server_has_a_meaning(answers: list[bytes], code: str) -> None:
    with scripted(script(*answers)) as port:
        run = send(port)
    assert isinstance(run.outcome, Failed | RetryIn)
    assert run.outcome.fault.code == code
    assert isinstance(run.outcome, Failed) == (code in {"smtp_refused", "smtp_auth_failed"})
    assert "no smtp" not in run.outcome.fault.message


class Late(Sink):
    """Keeps the mail at once, and says so only after `wait` seconds, or not at all."""

    def __init__(self, directory: Path, wait: float | None) -> None:
        super().__init__(directory, Faults())
        self.wait = wait

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        if self.wait is None:
            assert server.transport is not None
            server.transport.close()
        else:
            await asyncio.sleep(self.wait)
        return answer


@contextmanager
def answering_late(directory: Path, wait: float | None) -> Iterator[int]:
    controller = Controller(Late(directory, wait), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def test_a_server_that_answers_the_data_late_gets_the_mail_once(tmp_path: Path) -> None:
    with answering_late(tmp_path, wait=2.0) as port:
        run = send(port, smtp_timeout_seconds=0.5, smtp_after_data_timeout_seconds=20.0)
    assert run.result["status"] == "sent"
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("wait", [None, 5.0], ids=["it closes the connection", "it is too late"])
def test_without_a_verdict_we_say_that_it_may_have_arrived_and_send_it_again(
    tmp_path: Path, wait: float | None
) -> None:
    task_id = new_id()
    with answering_late(tmp_path, wait) as port:
        patience = settings(port, smtp_after_data_timeout_seconds=0.5)
        runs = [run_task("email.send", MAIL, settings=patience, task_id=task_id) for _ in range(2)]
    for run in runs:
        assert put_off(run).code == "smtp_no_verdict"
        assert "whether it arrived is unknown" in put_off(run).message
    assert len(kept(tmp_path)) == 2
    assert len({message["Message-ID"] for message in kept(tmp_path)}) == 1


def test_the_waits_of_a_mail_fit_into_its_limits() -> None:
    """RFC 5321, 4.5.3.2.6: ten minutes for the answer to the data."""
    defaults = MailSettings()
    assert defaults.smtp_after_data_timeout_seconds == 600
    for name in (name for name in load(Settings()).catalogue.names if name.startswith("email.")):
        task_type = load(Settings()).catalogue[name]
        limits = (task_type.soft_limit.total_seconds(), task_type.hard_limit.total_seconds())
        assert limits == (900.0, 960.0)
        # An idle connection that is gone (MAIL; its check waits for 5 s); then connection, greeting, EHLO, STARTTLS,
        # handshake, EHLO, AUTH (two), MAIL, RCPT, DATA, and what is sent.
        assert 5 + 13 * defaults.smtp_timeout_seconds + defaults.smtp_after_data_timeout_seconds <= limits[0]


def test_a_server_that_falls_silent_is_not_waited_for_long() -> None:
    with scripted(script(b"220 hi", then=lambda c: c.recv(1))) as port:
        started = time.monotonic()
        assert put_off(send(port, smtp_timeout_seconds=0.5)).code == "smtp_unreachable"
        assert time.monotonic() - started < 10


def test_a_server_without_a_goodbye_has_the_message_all_the_same() -> None:
    taken = [b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go", b"250 kept"]
    with scripted(script(*taken)) as port:
        assert send(port).result["status"] == "sent"


# Logins and encryption


@pytest.mark.parametrize("offered", [b"250 hi", b"250-hi\r\n250 AUTH GSSAPI"])
def test_a_login_that_the_server_does_not_offer_is_an_error(offered: bytes) -> None:
    with scripted(script(b"220 hi", offered)) as port:
        unsafe = settings(port).model_copy(update={"smtp_user": "yard", "smtp_password": SecretStr("x")})
        assert failed(run_task("email.send", MAIL, settings=unsafe)).code == "smtp_auth_failed"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    return made


class TlsController(Controller):
    def _trigger_server(self) -> None:
        # aiosmtpd's own check of its start uses the server's context as a client's.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((self.hostname, self.port), 5) as raw, context.wrap_socket(raw) as tls:
            tls.recv(100)


@contextmanager
def tls_from_the_start(directory: Path, context: ssl.SSLContext) -> Iterator[int]:
    directory.mkdir(exist_ok=True)
    controller = TlsController(Sink(directory, Faults()), hostname="127.0.0.1", port=free_port(), ssl_context=context)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def test_starttls_and_login_arrive_encrypted(tmp_path: Path, authority: Authority) -> None:
    faults = Faults(tls=authority.server_context(authority.sign("server")), login=("yard", "s3cret"))
    with smtp_sink(tmp_path / "sink", faults=faults) as port:
        assert send(port, smtp_security="starttls", smtp_user="yard", smtp_password="s3cret").result
    assert len(kept(tmp_path / "sink")) == 1


def test_a_wrong_login_is_not_tried_again(tmp_path: Path, authority: Authority) -> None:
    faults = Faults(tls=authority.server_context(authority.sign("server")), login=("yard", "s3cret"))
    with smtp_sink(tmp_path / "sink", faults=faults) as port:
        fault = failed(send(port, smtp_security="starttls", smtp_user="yard", smtp_password="wr0ng"))
        assert fault.code == "smtp_auth_failed"
        assert "wr0ng" not in repr(fault)
        assert failed(send(port, smtp_security="starttls")).code == "smtp_auth_failed"
    assert kept(tmp_path / "sink") == []


def test_tls_from_the_start(tmp_path: Path, authority: Authority) -> None:
    with tls_from_the_start(tmp_path / "sink", authority.server_context(authority.sign("server"))) as port:
        assert send(port, smtp_security="tls").result
    assert len(kept(tmp_path / "sink")) == 1


@pytest.mark.parametrize("wrong", ["host", "expired", "unknown"])
def test_a_certificate_that_does_not_hold_stops_the_mail(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    shown = authority.sign(
        "server",
        host="127.0.0.2" if wrong == "host" else "127.0.0.1",
        life=dt.timedelta(days=-1 if wrong == "expired" else 1),
    )
    if wrong == "unknown":
        monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path, "Others").certificate))
    with smtp_sink(tmp_path / "sink", faults=Faults(tls=authority.server_context(shown))) as port:
        fault = failed(send(port, smtp_security="starttls"))
    assert fault.code == "smtp_tls_failed"
    assert kept(tmp_path / "sink") == []


def test_a_server_without_starttls_gets_nothing_in_the_clear(tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as port:
        assert failed(send(port, smtp_security="starttls")).code == "smtp_tls_failed"
        assert failed(send(port, smtp_security="tls")).code == "smtp_tls_failed"
    assert kept(tmp_path) == []


def test_the_catalogue_calls_the_fields_as_the_older_systems_did() -> None:
    types = load(Settings()).catalogue
    assert {"to_email", "subject", "html_content"} < set(types["email.send"].params.model_fields)
    assert {"to_email", "username"} < set(types["email.send_welcome"].params.model_fields)
    assert {"status", "recipient", "sent_at"} < set(types["email.send"].result.model_fields)
