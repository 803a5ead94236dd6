"""Basic authentication (RFC 7617), for programs that read pages: with the names and passwords of the sign-in form.

Nobody is asked for it: browsers are shown the form. They would send it along with other sites' forms, too, which is why
a change needs the token of a session all the same.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable

from .passwords import Checks, TooManyChecks
from .sessions import BY_PASSWORD, Session
from .tries import Tries

_SCHEME = "basic "
_MAX_HEADER = 2_000
# A program that reads pages sends its password each time; a check costs a tenth of a second.
_KNOWN_SECONDS = 60.0
_MOST_KNOWN = 256


class Refused(Exception):
    """The name or the password is wrong. `seconds`: until it may be tried again, where that is limited."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds


class Basic:
    def __init__(self, checks: Checks, tries: Tries, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._tries = tries
        self._clock = clock
        self._salt = os.urandom(16)
        self._known: OrderedDict[bytes, tuple[float, Session]] = OrderedDict()

    async def session(self, header: str, address: str) -> Session | None:
        """The session of who sent this `Authorization`; None where it is another scheme. Raises Refused."""
        if header[: len(_SCHEME)].lower() != _SCHEME:
            return None
        if len(header) > _MAX_HEADER:
            raise Refused
        digest = hashlib.blake2b(header.encode(), key=self._salt).digest()
        until, session = self._known.get(digest, (0.0, None))
        if session is not None and until > self._clock():
            return session
        if seconds := self._tries.take(address):
            raise Refused(seconds)
        name, password = _read(header[len(_SCHEME) :])
        try:
            user = await self._checks.check(name, password)
        except TooManyChecks:
            raise Refused(seconds=5.0) from None
        if user is None:
            raise Refused
        self._tries.give_back(address)
        session = Session(name=user.name, role=user.role, way=BY_PASSWORD)
        self._known[digest] = (self._clock() + _KNOWN_SECONDS, session)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return session


def _read(credentials: str) -> tuple[str, str]:
    """Name and password. Raises Refused."""
    try:
        name, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise Refused from None
    if not colon:
        raise Refused
    return name, password
