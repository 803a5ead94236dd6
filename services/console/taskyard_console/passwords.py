"""Names and passwords from a setting: `name:role:hash`, one a line. The hash is Argon2id's, in PHC format."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .access import ROLES

# Two seconds of a processor.
MOST_WAITING = 20
# RFC 9106, the second recommended option.
_MEMORY_KIB, _PASSES, _LANES, _SALT, _LENGTH = 64 * 1024, 3, 4, 16, 32


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: str
    password: str


class Users:
    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = users
        # Compared with where there is no such user, so that the answer takes as long.
        self._nobody = hashed(os.urandom(16).hex()) if users else ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError that says which line is wrong, without the hash."""
        found: dict[str, User] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            name, role, password = [*line.strip().split(":", 2), "", ""][:3]
            if not name or role not in ROLES or not password.startswith("$argon2id$"):
                raise ValueError(
                    f"line {number} is not name:role:hash, with a role of {', '.join(ROLES)}"
                    " and a hash of `taskyard-console user`"
                )
            found[name] = User(name, role, password)
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self._users)

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(user.role for user in self._users.values())

    def role_of(self, name: str) -> str | None:
        """None where the setting does not name this user."""
        user = self._users.get(name)
        return None if user is None else user.role

    def check(self, name: str, password: str) -> User | None:
        """The user, where the password is right. It takes a tenth of a second of a processor and 64 MiB: not for an
        event loop, and one at a time."""
        user = self._users.get(name)
        try:
            Argon2id.verify_phc_encoded(password.encode(), user.password if user else self._nobody)
        except (InvalidKey, ValueError):
            return None
        return user


class TooManyChecks(Exception):
    """So many passwords wait to be checked that this one is not."""


class Checks:
    """Checks passwords one at a time, whoever asks: each takes 64 MiB, and nobody has to be signed in for it."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._one = asyncio.Lock()
        self._waiting = 0

    async def check(self, name: str, password: str) -> User | None:
        """The user, where the password is right. Raises TooManyChecks."""
        if self._waiting >= MOST_WAITING:
            raise TooManyChecks
        self._waiting += 1
        try:
            async with self._one:
                return await asyncio.to_thread(self._users.check, name, password)
        finally:
            self._waiting -= 1


def hashed(password: str) -> str:
    kdf = Argon2id(salt=os.urandom(_SALT), length=_LENGTH, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return kdf.derive_phc_encoded(password.encode())
