"""What a signed-in reader may see and press."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskyard_client import OwnKey

from .sessions import Session

if TYPE_CHECKING:
    from .ways import Ways

READ, SUBMIT, MANAGE, ADMIN = "read", "submit", "manage", "admin"
ALL = frozenset({READ, SUBMIT, MANAGE, ADMIN})
# Of those who sign in with a name: the console's key has to allow it, too.
ROLES = {READ: frozenset({READ}), MANAGE: frozenset({READ, SUBMIT, MANAGE}), ADMIN: ALL}
# The API itself refuses a revoked key within seconds; here, only what is offered would be late.
_KNOWN_SECONDS = 30.0
_MOST_KNOWN = 1024

WhoAmI = Callable[[str], Awaitable[OwnKey]]


@dataclass(frozen=True, slots=True)
class Access:
    """`person`: whom the audit log names beside the key, where the key is the console's. `queues` None: all.
    `sees_tracebacks`: has the scope `manage`, also where the console is read-only."""

    name: str
    scopes: frozenset[str]
    queues: frozenset[str] | None
    key: str
    person: str | None = None
    read_only: bool = False

    def may(self, scope: str) -> bool:
        """Whether it may change what takes this scope, or read where the scope is `read`."""
        return scope in self.scopes and not (self.read_only and scope != READ)

    def may_see(self, scope: str) -> bool:
        """Whether it may open pages that take this scope: administrators read the audit log and the names of keys in a
        console that changes nothing, too; what takes `submit` or `manage` is there to change something."""
        return scope in self.scopes if scope in {READ, ADMIN} else self.may(scope)

    @property
    def sees_tracebacks(self) -> bool:
        return MANAGE in self.scopes

    def sees(self, queue: str) -> bool:
        return self.queues is None or queue in self.queues


class Accesses:
    """`who_am_i` asks the API what a key may do; answers are kept for half a minute."""

    def __init__(
        self,
        who_am_i: WhoAmI,
        ways: Ways,
        *,
        own_key: str | None,
        read_only: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._who_am_i = who_am_i
        self._ways = ways
        self._own_key = own_key
        self._read_only = read_only
        self._clock = clock
        self._known: dict[bytes, tuple[float, OwnKey]] = {}

    async def of(self, session: Session) -> Access | None:
        """None where the session can do nothing any more. Raises ApiRefused for a key that is not valid, ApiAway."""
        key = session.key or self._own_key
        if not session.is_signed_in or not key or not self._ways.allows(session):
            return None
        told = await self.asked(key)
        scopes = ALL if ADMIN in told.scopes else frozenset(told.scopes)
        if not session.key:
            scopes &= ROLES.get(self._ways.role_of(session) or "", frozenset())
        queues = None if told.queues is None else frozenset(told.queues)
        person = None if session.key else session.name
        return Access(session.name, scopes, queues, key, person, self._read_only)

    async def asked(self, key: str) -> OwnKey:
        """What the API tells of a key. Raises ApiRefused, ApiAway."""
        digest = hashlib.sha256(key.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > self._clock():
            return known[1]
        told = await self._who_am_i(key)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest] = (self._clock() + _KNOWN_SECONDS, told)
        return told

    def forget(self, key: str) -> None:
        """The API has refused it."""
        self._known.pop(hashlib.sha256(key.encode()).digest(), None)
