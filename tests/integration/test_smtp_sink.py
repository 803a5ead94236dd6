"""The sink keeps mails, and refuses them as configured."""

import email
import email.policy
import smtplib
import ssl
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from taskyard_dev.smtp_sink import Faults, smtp_sink
from tests.support.fleet import free_port


def mail(to: str = "ada@example.org") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "yard@example.org", to, "Grüße"
    message.set_content("Hello Ada\n.a line that starts with a dot\n")
    message.add_alternative("<p>Hello Ada</p>", subtype="html")
    return message


def kept(directory: Path) -> list[EmailMessage]:
    parse = email.message_from_bytes
    return [parse(file.read_bytes(), policy=email.policy.default) for file in sorted(directory.glob("*.eml"))]


def test_keeps_each_mail_in_the_order_of_arrival(tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as port, smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.send_message(mail("ada@example.org"))
        client.send_message(mail("bob@example.org"))
    first, second = kept(tmp_path)
    assert (first["To"], second["To"]) == ("ada@example.org", "bob@example.org")
    assert first["Subject"] == "Grüße"
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]
    plain = first.get_body(("plain",))
    assert plain is not None
    assert ".a line that starts with a dot" in plain.get_content()


def test_refuses_recipients_for_good(tmp_path: Path) -> None:
    with (
        smtp_sink(tmp_path, faults=Faults(refuse="nobody")) as port,
        smtplib.SMTP("127.0.0.1", port, timeout=5) as client,
    ):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.send_message(mail("nobody@example.org"))
        assert refused.value.recipients["nobody@example.org"][0] == 550
        client.send_message(mail())
    assert len(kept(tmp_path)) == 1


def test_puts_off_the_first_mails(tmp_path: Path) -> None:
    with (
        smtp_sink(tmp_path, faults=Faults(put_off=1)) as port,
        smtplib.SMTP("127.0.0.1", port, timeout=5) as client,
    ):
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.send_message(mail())
        assert refused.value.smtp_code == 451
        client.send_message(mail())
    assert len(kept(tmp_path)) == 1


def test_requires_the_right_login(tmp_path: Path) -> None:
    with smtp_sink(tmp_path, faults=Faults(login=("yard", "secret"))) as port:
        with (
            smtplib.SMTP("127.0.0.1", port, timeout=5) as client,
            pytest.raises(smtplib.SMTPSenderRefused, match="Authentication required"),
        ):
            client.send_message(mail())
        with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("yard", "wrong")
            client.login("yard", "secret")
            client.send_message(mail())
    assert len(kept(tmp_path)) == 1


def test_offers_starttls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    _self_signed(certificate, key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client_context = ssl.create_default_context(cafile=str(certificate))
    client_context.check_hostname = False
    mails = tmp_path / "mails"
    with (
        smtp_sink(mails, faults=Faults(tls=server)) as port,
        smtplib.SMTP("127.0.0.1", port, timeout=5) as client,
    ):
        client.starttls(context=client_context)
        client.send_message(mail())
    assert len(kept(mails)) == 1


def test_runs_as_a_program_and_stops_on_a_signal(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "taskyard_dev.smtp_sink", "--port", str(port), "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as lines:
        assert str(port).encode() in next(lines)
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.send_message(mail())
    process.terminate()
    assert process.wait(30) == 0
    assert len(kept(tmp_path)) == 1


def _self_signed(certificate: Path, key: Path) -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
