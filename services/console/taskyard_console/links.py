"""Links that sign in once, within minutes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from .sessions import Vault

LIFE = timedelta(minutes=5)


class Links:
    """What a link holds is sealed. Which ones were used, this process remembers for as long as they live: a console of
    several processes takes a link once in each."""

    def __init__(self, vault: Vault, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._vault = vault
        self._clock = clock
        self._used: dict[str, float] = {}

    def make(self, key: str) -> str:
        return self._vault.seal("link", {"id": secrets.token_urlsafe(12), "key": key})

    def use(self, token: str) -> str | None:
        """The key of a link that is valid and was not used."""
        found = self._vault.open("link", token, LIFE)
        now = self._clock()
        self._used = {one: until for one, until in self._used.items() if until > now}
        if found is None or found["id"] in self._used:
            return None
        self._used[found["id"]] = now + LIFE.total_seconds() + 60
        return str(found["key"])
