"""A mail server in a process of its own: wants STARTTLS and a login, keeps what it takes, and misbehaves for some.

The first word of a recipient's address says what becomes of it (`_Server.handle_*`). What happens is a line of JSON in
`happened.jsonl`, with the number of the connection.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.certificates import Authority

LOGIN = ("yard", "s3cret")
_LOG = "happened.jsonl"


class MailServer:
    """The running process, as a test sees it."""

    def __init__(self, home: Path, port: int, pid: int) -> None:
        self._home = home
        self.port = port
        self.pid = pid

    def happened(self, what: str | None = None) -> list[dict[str, Any]]:
        log = self._home / _LOG
        # The last line may be under way.
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        all_of_it = [json.loads(line) for line in lines]
        return [one for one in all_of_it if what in (None, one["what"])]

    def recipients(self) -> list[str]:
        """Of the messages that were taken, in order."""
        return [one["recipient"] for one in self.happened("kept")]

    def messages(self) -> list[EmailMessage]:
        files = [self._home / one["file"] for one in self.happened("kept")]
        return [email.message_from_bytes(f.read_bytes(), policy=email.policy.default) for f in files]

    def connections(self) -> int:
        return len(self.happened("connected"))


@contextmanager
def mail_server(home: Path, authority: Authority) -> Iterator[MailServer]:
    """Stops at the end of the block, or with the test's process."""
    home.mkdir(parents=True, exist_ok=True)
    pair = authority.sign("mail-server")
    arguments = [str(home), str(pair.certificate), str(pair.key)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.mail_server", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield MailServer(home, int(process.stdout.readline()), process.pid)
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


class _Server(SMTP):
    """One connection."""

    number = 0
    home: Path
    seen: set[str]

    def note(self, what: str, **more: Any) -> None:
        with (self.home / _LOG).open("a") as log:
            log.write(json.dumps({"connection": self.number, "what": what, **more}) + "\n")

    def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.close()


class _Handler:
    def handle_STARTTLS(self, server: _Server, session: Session, envelope: Envelope) -> bool:  # noqa: N802
        server.note("encrypted")
        return True

    async def handle_RSET(self, server: _Server, session: Session, envelope: Envelope) -> str:  # noqa: N802
        server.note("reset")
        return "250 ok"

    async def handle_QUIT(self, server: _Server, session: Session, envelope: Envelope) -> str:  # noqa: N802
        server.note("quit")
        return "221 bye"

    async def handle_MAIL(  # noqa: N802
        self, server: _Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        server.note("begun")
        if address.startswith("banned"):
            return "553 5.7.1 not from you"
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(  # noqa: N802
        self, server: _Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        word = address.partition("@")[0].partition("-")[0]
        first = address not in server.seen
        server.seen.add(address)
        match word:
            case "refused":
                return "550 5.1.1 no such mailbox"
            case "later":
                return "452 4.2.2 mailbox full"
            case "greylisted" if first:
                return "451 4.7.1 Greylisted, please try again in 120 seconds"
            case "closing" if first:
                return "421 4.7.0 too many messages, closing"
            case "cut" if first:
                server.hang_up()
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: _Server, session: Session, envelope: Envelope) -> str:  # noqa: N802
        (recipient,) = envelope.rcpt_tos
        match recipient.partition("@")[0].partition("-")[0]:
            case "spam":
                return "554 5.7.1 looks like spam"
            case "full":
                return "452 4.3.1 disk full"
            case "echo":
                assert isinstance(envelope.content, bytes)
                content = envelope.content.decode()
                return f"554 5.6.0 {content.partition('code: ')[2][:8]}"
            case "slow":
                await asyncio.sleep(4.5)
            case "lying":
                asyncio.get_running_loop().call_later(0.05, server.hang_up)
            case "mute":
                self._keep(server, recipient, envelope)
                server.hang_up()
                return "250 never heard"
        self._keep(server, recipient, envelope)
        return "250 kept"

    def _keep(self, server: _Server, recipient: str, envelope: Envelope) -> None:
        assert isinstance(envelope.content, bytes)
        file = f"{len(list(server.home.glob('*.eml'))):06}.eml"
        (server.home / file).write_bytes(envelope.content)
        server.note("kept", recipient=recipient, file=file)


def _authenticate(server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == LOGIN
    server.note("login", right=right)
    # A refusal with handled=True would get no answer from aiosmtpd.
    return AuthResult(success=right, handled=right)


async def _serve(home: Path, context: ssl.SSLContext) -> None:
    seen: set[str] = set()
    count = 0

    def make() -> _Server:
        nonlocal count
        count += 1
        server = _Server(
            _Handler(), tls_context=context, require_starttls=True, auth_required=True, authenticator=_authenticate
        )
        server.number, server.home, server.seen = count, home, seen
        server.note("connected")
        return server

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(make, "127.0.0.1", 0)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # Until the test that started it closes its end, or is no more.
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("certificate")
    parser.add_argument("key")
    given = parser.parse_args()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(given.certificate, given.key)
    asyncio.run(_serve(given.home, context))


if __name__ == "__main__":
    main()
