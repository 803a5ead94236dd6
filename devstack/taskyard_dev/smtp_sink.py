"""A mail server that keeps mails as files and delivers none.

`python -m taskyard_dev.smtp_sink --port 1025 --dir mails`; each mail becomes `<time>-<n>.eml`. Faults let tests see how
a sender behaves with a server that refuses.
"""

import argparse
import asyncio
import itertools
import signal
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from taskyard_dev.ports import LOOPBACK, hold_any


@dataclass(frozen=True)
class Faults:
    """How the sink misbehaves.

    `refuse`: recipients whose address contains this word get 550, a permanent error. `put_off`: the first n mails get
    451, "try again later". `login`: the user and password that it requires. `tls`: offers STARTTLS with this context.
    """

    refuse: str = ""
    put_off: int = 0
    login: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None


class Sink:
    """aiosmtpd's handler: checks recipients, writes mails."""

    def __init__(self, directory: Path, faults: Faults) -> None:
        self._directory = directory
        self._faults = faults
        self._put_off = faults.put_off
        self._numbers = itertools.count(1)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        # Not by aiosmtpd's auth_required, which warns unless encryption is required, too.
        if self._faults.login is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._faults.refuse and self._faults.refuse in address:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self._put_off > 0:
            self._put_off -= 1
            return "451 4.3.0 try again later"
        content = envelope.content or b""
        # With microseconds and a number, so that names sort by arrival, even over restarts.
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{next(self._numbers)}.eml"
        await asyncio.to_thread(self._keep, name, content if isinstance(content, bytes) else content.encode())
        return "250 2.0.0 kept"

    def _keep(self, name: str, content: bytes) -> None:
        # Atomically: a watcher of the directory reads a file as soon as its name appears.
        fresh = self._directory / f".{name}"
        fresh.write_bytes(content)
        fresh.rename(self._directory / name)

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = (data.login, data.password) if isinstance(data, LoginPassword) else None
        wanted = self._faults.login
        right = wanted is not None and given == (wanted[0].encode(), wanted[1].encode())
        # A refusal with handled=True would get no answer from aiosmtpd, and the client would wait for ever.
        return AuthResult(success=right, handled=right)


@contextmanager
def smtp_sink(directory: Path, *, host: str = LOOPBACK, port: int = 0, faults: Faults | None = None) -> Iterator[int]:
    """Listen on `host` and keep mails in `directory`; yields the port."""
    faults = faults or Faults()
    directory.mkdir(parents=True, exist_ok=True)
    sink = Sink(directory, faults)
    # The sink of a container listens on another address; its port is given.
    with nullcontext() if port else hold_any() as hold:
        listening = hold.port if hold else port
        controller = Controller(
            sink,
            hostname=host,
            port=listening,
            authenticator=sink.authenticate if faults.login else None,
            # A login without encryption is acceptable, because this server is for tests only.
            auth_require_tls=False,
            tls_context=faults.tls,
            enable_SMTPUTF8=True,
            data_size_limit=100_000_000,
        )
        controller.start()
        try:
            yield listening
        finally:
            controller.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="taskyard_dev.smtp_sink")
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on; in a container: 0.0.0.0")
    parser.add_argument("--port", type=int, default=1025)
    parser.add_argument("--dir", type=Path, required=True, help="where mails go")
    parser.add_argument("--refuse", default="", help="refuse recipients that hold this word with 550")
    parser.add_argument("--put-off", type=int, default=0, help="answer so many mails with 451 first")
    options = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    # Blocked before the server's thread starts, so that only sigwait receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    faults = Faults(refuse=options.refuse, put_off=options.put_off)
    with smtp_sink(options.dir, host=options.host, port=options.port, faults=faults) as port:
        sys.stdout.write(f"smtp sink listens on {options.host}:{port}, mails go to {options.dir}\n")
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
