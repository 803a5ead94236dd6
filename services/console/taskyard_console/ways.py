"""The ways to sign in, and what they give."""

from __future__ import annotations

from dataclasses import dataclass

from .passwords import Users
from .sessions import BY_KEY, BY_LINK, BY_PASSWORD, BY_PROVIDER, Session


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways to sign in that the settings allow now. A session lives no longer than its own."""

    users: Users
    provider_roles: frozenset[str]
    with_keys: bool

    def role_of(self, session: Session) -> str | None:
        """The role of a session without a key; None where the settings no longer give it one."""
        if session.way == BY_PASSWORD:
            return self.users.role_of(session.name)
        return session.role if session.way == BY_PROVIDER and session.role in self.provider_roles else None

    def allows(self, session: Session) -> bool:
        if session.key:
            return session.way == BY_LINK or (session.way == BY_KEY and self.with_keys)
        return self.role_of(session) is not None
