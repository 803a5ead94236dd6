"""Connections to the mail server: encrypted and logged in, and kept for the next message."""

from __future__ import annotations

import io
import os
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache
from typing import Any

from taskyard.domain.errors import TaskError

from .answers import expect
from .settings import MailSettings

Tls = Callable[[], ssl.SSLContext]

# Servers limit the messages of a connection, and those behind one address share the load by connections.
_MOST_MESSAGES = 100
# For the check of a connection that was idle, and for its goodbye: nothing is lost by giving it up.
_PATIENCE_SECONDS = 5.0
_MOST_BYTES = 64 * 1024  # of one answer; RFC 5321 has 512 for each line of it
_CLOSING = 421  # RFC 5321, 4.2.3: the server is about to close the connection


class _Patient(io.RawIOBase):
    """What the server sends, until a time. The time-out of a socket is for every single byte."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.until = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left, before = self.until - time.monotonic(), self._sock.gettimeout()
        if left <= 0:
            raise TimeoutError("the answer is not complete in time")
        self._sock.settimeout(left)
        try:
            return self._sock.recv_into(buffer)
        finally:
            self._sock.settimeout(before)


class _Answers:
    """The server's answers, line by line. Each has to be complete before the time-out of the socket, and in so many
    bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = _Patient(sock)
        self._file = io.BufferedReader(self._raw)
        self._room = 0

    def begin(self) -> None:
        self._room = _MOST_BYTES
        self._raw.until = time.monotonic() + (self._sock.gettimeout() or 0.0)

    def readline(self, most: int) -> bytes:
        line = self._file.readline(most)
        self._room -= len(line)
        return line if self._room >= 0 else b"no end"  # which is no line of SMTP

    def close(self) -> None:
        self._file.close()


class _Bounded(smtplib.SMTP):
    """smtplib reads an answer to its last line, and keeps all of it: a server that never comes to an end would take the
    memory of all tasks of the process."""

    file: _Answers | None

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Answers(self.sock)
        if self.file is not None:
            self.file.begin()
        return super().getreply()


class _BoundedOverTls(_Bounded, smtplib.SMTP_SSL):
    pass


class Connection:
    """`is_sound`: the last command was answered, and the server has not said that it closes."""

    def __init__(self, server: smtplib.SMTP, key: Hashable) -> None:
        self.server = server
        self.key = key
        self.messages = 0
        self.idle_until = 0.0
        self.is_sound = True

    def ask(self, wanted: int, phrase: str, command: Callable[[], tuple[int, bytes]]) -> None:
        """Raises TaskError for another answer than `wanted`, and what smtplib raises."""
        self.is_sound = False  # until it has answered, whatever comes between
        code, said = command()
        self.is_sound = 200 <= code < 600 and code != _CLOSING
        expect(wanted, phrase, code, said)

    def wait(self, seconds: float) -> None:
        """How long the next answers are waited for."""
        if self.server.sock is not None:
            self.server.sock.settimeout(seconds)

    def reset(self) -> None:
        """Ends what the message before left open, and shows whether the server still listens."""
        before = self.server.timeout
        self.wait(min(before, _PATIENCE_SECONDS))
        self.ask(250, "message", lambda: self.server.docmd("RSET"))
        self.wait(before)

    def quit(self) -> None:
        """Never raises: what was sent is with the server by now."""
        self.wait(_PATIENCE_SECONDS)
        with suppress(smtplib.SMTPException, OSError):
            self.server.docmd("QUIT")
        self.close()

    def close(self) -> None:
        self.server.close()


def key_of(settings: MailSettings, tls: Tls) -> Hashable:
    """Connections with the same key serve the same messages."""
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
    login = (settings.smtp_user, password)
    return settings.smtp_host, settings.smtp_port, settings.smtp_security, login, settings.smtp_timeout_seconds, tls


@cache
def _own_name() -> str:
    """For EHLO. To find it may take a look-up in the domain name system, which no time-out bounds: once is enough."""
    return smtplib.SMTP().local_hostname


def connect(settings: MailSettings, tls: Tls) -> Connection:
    """Encrypted and logged in. Raises TaskError, and what smtplib raises."""
    if settings.smtp_host is None:
        raise TaskError("smtp_not_configured", retryable=False)
    at, seconds = (settings.smtp_host, settings.smtp_port, _own_name()), settings.smtp_timeout_seconds
    if settings.smtp_security == "tls":
        server: _Bounded = _BoundedOverTls(*at, timeout=seconds, context=tls())
    else:
        server = _Bounded(*at, timeout=seconds)
    try:
        server.ehlo_or_helo_if_needed()
        if settings.smtp_security == "starttls":
            server.starttls(context=tls())
            server.ehlo()
        if settings.smtp_user is not None:
            _log_in(server, settings.smtp_user, settings)
    except BaseException:
        server.close()
        raise
    return Connection(server, key_of(settings, tls))


def _log_in(server: smtplib.SMTP, user: str, settings: MailSettings) -> None:
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
    try:
        server.login(user, password)
    except (smtplib.SMTPResponseException, smtplib.SMTPServerDisconnected):
        raise
    except smtplib.SMTPException as e:  # it offers no login, or none that we know
        raise TaskError("smtp_auth_failed", retryable=False) from e


class Pool:
    """Connections that no task uses. One is taken by one task and given back by it, so there are never more of them
    than threads that send. Those that are idle for too long are closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._is_swept = False

    def take(self, key: Hashable) -> Connection | None:
        """The one that was used last."""
        with self._lock:
            now = time.monotonic()
            for connection in reversed(self._idle):
                if connection.key == key and connection.idle_until > now:
                    self._idle.remove(connection)
                    return connection
        return None

    def take_all(self) -> list[Connection]:
        with self._lock:
            taken, self._idle = self._idle, []
        return taken

    def give(self, connection: Connection, *, idle_seconds: float) -> None:
        """Kept for so long; closed at once where it is of no more use."""
        if not connection.is_sound or connection.messages >= _MOST_MESSAGES or idle_seconds <= 0:
            connection.quit() if connection.is_sound else connection.close()
            return
        connection.idle_until = time.monotonic() + idle_seconds
        with self._lock:
            self._idle.append(connection)
            if self._is_swept:
                return
            self._is_swept = True
        try:
            threading.Thread(target=self._sweep, name="idle-mail-connections", daemon=True).start()
        except RuntimeError:  # no thread is left
            self._is_swept = False

    def _sweep(self) -> None:
        """Closes what is idle for too long; ends where nothing is left."""
        while True:
            with self._lock:
                now = time.monotonic()
                late = [connection for connection in self._idle if connection.idle_until <= now]
                self._idle = [connection for connection in self._idle if connection.idle_until > now]
                until = min((connection.idle_until for connection in self._idle), default=None)
                if until is None:
                    self._is_swept = False
            for connection in late:
                connection.quit()
            if until is None:
                return
            time.sleep(max(0.0, until - now))

    def forget(self) -> None:
        """In a copy of the process: the connections, and the thread that closes them, are those of the original."""
        self._lock = threading.Lock()
        self._idle = []
        self._is_swept = False


POOL = Pool()
os.register_at_fork(after_in_child=POOL.forget)
