"""What the answers of a mail server mean for the task: of servers that refuse, fall silent, lie or never end."""

import asyncio
import datetime as dt
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from taskyard.catalogue.kits import load
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, RetryIn
from taskyard.running.trial import run_task
from taskyard.settings import Settings
from taskyard_dev.smtp_sink import Faults, Sink, smtp_sink
from taskyard_kits.mail.settings import MailSettings
from tests.kits.mail.sending import MAIL, failed, kept, put_off, script, scripted, send, settings
from tests.support.fleet import free_port


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
        ([b"220 hi", b"250-going on\r\n" * 10_000 + b"250 ok"], "smtp_not_smtp"),
    ],
)
def test_every_answer_of_a_server_has_a_meaning(answers: list[bytes], code: str) -> None:
    with scripted(script(*answers)) as port:
        run = send(port)
    assert isinstance(run.outcome, Failed | RetryIn)
    assert run.outcome.fault.code == code
    assert isinstance(run.outcome, Failed) == (code in {"smtp_refused", "smtp_auth_failed"})
    assert "no smtp" not in run.outcome.fault.message


@pytest.mark.parametrize("drop", [b"250-going on\r\n", b"2"])
def test_an_answer_that_comes_in_drops_is_waited_for_as_long_as_any_other(drop: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(200):
            connection.sendall(drop)
            time.sleep(0.2)

    began = time.monotonic()
    with scripted(script(b"220 hi", then=drip)) as port:
        assert put_off(send(port, smtp_timeout_seconds=1.0)).code == "smtp_unreachable"
        assert time.monotonic() - began < 20


def test_an_answer_without_an_end_is_not_kept() -> None:
    sent = 0

    def for_ever(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"220 hi\r\n")
        while True:
            connection.sendall(b"250-going on\r\n" * 5_000)
            sent += 70_000

    with scripted(for_ever) as port:
        assert put_off(send(port)).code == "smtp_not_smtp"
    assert sent < 64 * 1024**2


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
    with answering_late(tmp_path, wait=4.0) as port:
        run = send(port, smtp_timeout_seconds=2.5, smtp_after_data_timeout_seconds=30.0)
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
    names = [name for name in load(Settings()).catalogue.names if name.startswith("email.")]
    for name in (*names, "notifications.send"):
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
