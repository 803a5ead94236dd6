"""Mails over encrypted connections, with a login."""

import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr

from taskyard.running.trial import run_task
from taskyard_dev.smtp_sink import Faults, Sink, smtp_sink
from tests.kits.mail.sending import MAIL, failed, kept, script, scripted, send, settings
from tests.support.certificates import Authority
from tests.support.fleet import free_port


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
