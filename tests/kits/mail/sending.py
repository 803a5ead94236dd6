"""Tasks of mail, run against servers of the test."""

import email
import email.policy
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from taskyard.domain.tasks import Failed, Fault, RetryIn
from taskyard.running.trial import TaskRun, run_task
from taskyard_kits.mail.settings import MailSettings

MAIL = {"to_email": "eva@example.org", "subject": "Hello", "text": "Hello Eva"}


def settings(port: int, **more: Any) -> MailSettings:
    base = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_timeout_seconds": 20.0, "smtp_security": "none"}
    # The servers of these tests run in this process and stop with the test: no connection may outlive it.
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
