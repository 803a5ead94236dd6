"""Sessions, which live in a cookie alone: authenticated and encrypted, because they hold an API key. The replicas of a
console share the secret and nothing else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

CSRF_BYTES = 24
# How readers sign in.
BY_KEY, BY_LINK, BY_PASSWORD, BY_PROVIDER = "key", "link", "password", "provider"
# Browsers drop a cookie that is larger, and the reader would be signed out without a word.
MAX_COOKIE_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Session:
    """`way`: how its reader signed in. `key`: the API key that was typed in, or a link had; empty for those who signed
    in with a name and have a `role`. Without a name nobody is signed in: the sign-in form has its CSRF token from such
    a session."""

    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(CSRF_BYTES))
    name: str = ""
    key: str = field(default="", repr=False)
    role: str = ""
    way: str = ""

    @property
    def is_signed_in(self) -> bool:
        return bool(self.name)


class Vault:
    """Seals what a browser or a link keeps for us. The first secret seals, all of them open: secrets can be changed
    while people are signed in. `purpose` keeps what was sealed for one use from being shown for another."""

    def __init__(self, keys: Sequence[str], *, clock: Callable[[], int]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._clock = clock

    def seal(self, purpose: str, value: Any) -> str:
        text = json.dumps({"for": purpose, "value": value}, separators=(",", ":"))
        return self._fernet.encrypt_at_time(text.encode(), self._clock()).decode()

    def open(self, purpose: str, text: str, life: timedelta) -> Any:
        """The value; None where it is not ours, not for this purpose, or too old."""
        try:
            found = json.loads(self._fernet.decrypt_at_time(text.encode(), int(life.total_seconds()), self._clock()))
        except (InvalidToken, ValueError, UnicodeError):
            return None
        return found["value"] if found["for"] == purpose else None


class Sessions:
    """`life`: from the sign-in on, however busy a session is."""

    def __init__(self, vault: Vault, life: timedelta) -> None:
        self._vault = vault
        self.life = life

    def read(self, cookie: str | None) -> Session | None:
        value = self._vault.open("session", cookie, self.life) if cookie else None
        known = {one.name for one in fields(Session)}  # a replica of another release may write others
        return Session(**{name: value[name] for name in known & value.keys()}) if value else None

    def written(self, session: Session) -> str:
        """The cookie's value. Raises ValueError where no browser would keep it."""
        sealed = self._vault.seal("session", asdict(session))
        if len(sealed) > MAX_COOKIE_BYTES:
            raise ValueError("the session is too large for a cookie")
        return sealed
