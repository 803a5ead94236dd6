"""API keys: authentication, and what each key allows."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import RowMapping

from taskyard.domain.api_keys import digest_of, prefix_of
from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.domain.messages import message
from taskyard.store import api_keys
from taskyard.store.tree_items import owner_seen

from .ledger_pool import LedgerPool
from .patience import patience
from .refusals import MissingScope, QueueNotAllowed, Unauthenticated

# A revocation takes effect within this time.
CACHE_SECONDS = 5.0
# Shorter for unknown keys, so that a new key is not refused for long, and for failed look-ups.
_AGAIN_SECONDS = 1.0
# While PostgreSQL is away, or slow, a key that was valid stays valid for this long, so that its holder can still read
# /health/detailed.
_OUTAGE_SECONDS = 3600.0
# Behind a look-up that hangs, requests would queue up that nothing refuses.
_VALID_WAITS_SECONDS = 1.0
_MAX_CACHED = 4096


class Scope(StrEnum):
    """What a key allows. `admin` includes the other scopes, which do not include each other."""

    READ = "read"
    SUBMIT = "submit"
    MANAGE = "manage"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of the key. `queues` None: all of them."""

    key_id: UUID
    name: str
    scopes: frozenset[str]
    queues: frozenset[str] | None = None
    expires_at: datetime | None = None

    def has(self, scope: str) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: str) -> None:
        """Raises MissingScope."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise MissingScope(scope)

    def sees(self, queue: str) -> bool:
        return self.queues is None or queue in self.queues

    @property
    def owner_seen(self) -> str | None:
        """Whose tree items it sees (None: everybody's)."""
        return owner_seen(self.name, self.queues)

    def require_queue(self, queue: str) -> None:
        """Raises QueueNotAllowed."""
        if self.queues is not None and queue not in self.queues:
            raise QueueNotAllowed(message("This key may not submit to the queue {queue}.", queue=repr(queue[:64])))


@dataclass(frozen=True, slots=True)
class _Known:
    """The result of looking a prefix up at `since`; `key` is None where no key has this prefix."""

    key: _KnownKey | None
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class _KnownKey:
    """A key's row. Attributes are faster than a mapping, and every request reads all of them."""

    digest: bytes
    caller: Caller
    revoked_at: datetime | None
    expires_at: datetime | None


class Keys:
    """Authenticates keys. Look-ups are cached for a few seconds."""

    def __init__(
        self,
        ledger: LedgerPool,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._now = now
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def authenticate(self, authorization: bytes | None) -> Caller:
        """Raises Unauthenticated, LedgerUnavailable, Overloaded."""
        text = _bearer(authorization)
        prefix = prefix_of(text)
        if prefix is None:
            raise Unauthenticated("invalid_key", message("This is not an API key."))
        known = self._known.get(prefix)
        if known is None or known.until < self._clock():
            known = await self._look_up(prefix)
        key = known.key
        if key is None or not hmac.compare_digest(key.digest, digest_of(text)):
            raise Unauthenticated("invalid_key", message("There is no such API key."))
        if key.revoked_at is not None:
            raise Unauthenticated("revoked_key", message("This API key was revoked."))
        if key.expires_at is not None and key.expires_at <= self._now():
            raise Unauthenticated("expired_key", message("This API key has expired."))
        return key.caller

    def good(self, prefix: str, digest: bytes) -> Caller | None:
        """The holder of a good key that was looked up a moment ago; None for all others."""
        known = self._known.get(prefix)
        if known is None or known.key is None or known.until < self._clock():
            return None
        key = known.key
        if not hmac.compare_digest(key.digest, digest) or key.revoked_at is not None:
            return None
        return key.caller if key.expires_at is None or key.expires_at > self._now() else None

    async def _look_up(self, prefix: str) -> _Known:
        # Concurrent requests with the same key share one look-up, which is no part of any of them.
        asking = self._asking.get(prefix)
        if asking is None:
            asking = asyncio.create_task(self._ask(prefix), context=Context())
            self._asking[prefix] = asking
            asking.add_done_callback(lambda _: self._asking.pop(prefix, None))
        async with patience().wait():
            return await asyncio.shield(asking)

    async def _ask(self, prefix: str) -> _Known:
        valid = self._valid_before(prefix)
        try:
            async with asyncio.timeout(None if valid is None else _VALID_WAITS_SECONDS):
                row = await self._ledger.run(lambda conn: api_keys.by_prefix(conn, prefix))
        except (LedgerUnavailable, Overloaded, TimeoutError):
            if valid is None:
                raise
            known = replace(valid, until=self._clock() + _AGAIN_SECONDS)
        else:
            now = self._clock()
            seconds = CACHE_SECONDS if row is not None else _AGAIN_SECONDS
            known = _Known(_key(row) if row is not None else None, now, now + seconds)
        if len(self._known) >= _MAX_CACHED:  # prefixes are being guessed
            self._known.clear()
        self._known[prefix] = known
        return known

    def _valid_before(self, prefix: str) -> _Known | None:
        known = self._known.get(prefix)
        if known is None or known.key is None or self._clock() - known.since > _OUTAGE_SECONDS:
            return None
        return known


def _key(row: RowMapping) -> _KnownKey:
    queues = None if row["queues"] is None else frozenset(row["queues"])
    caller = Caller(row["id"], row["name"], frozenset(row["scopes"]), queues, row["expires_at"])
    return _KnownKey(bytes(row["digest"]), caller, row["revoked_at"], row["expires_at"])


def _bearer(authorization: bytes | None) -> str:
    if authorization is None:
        raise Unauthenticated("missing_key", message("Send an API key: Authorization: Bearer ty_..."))
    scheme, _, text = authorization.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("missing_key", message("Send the API key as: Authorization: Bearer ty_..."))
    return text.strip(" \t")
