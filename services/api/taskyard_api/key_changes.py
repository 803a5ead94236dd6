"""Making and revoking API keys: what the command line and the API do alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from taskyard.domain.api_keys import ApiKey
from taskyard.store import api_keys, audit
from taskyard.store.audit import Action, Actor

MAX_NAME = 100
MAX_DAYS = 36_500
LONGEST_LIFE = timedelta(days=MAX_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """`queues` None: all."""

    name: str
    scopes: list[str]
    queues: list[str] | None = None
    expires_at: datetime | None = None


def is_name(text: str) -> bool:
    return 1 <= len(text) <= MAX_NAME and text.isprintable()


def make(conn: Connection, key: ApiKey, new: NewKey, by: Actor) -> UUID | None:
    """The id of the key, with its row in the audit log; None where its name is taken."""
    made = api_keys.create(
        conn,
        name=new.name,
        prefix=key.prefix,
        digest=key.digest,
        scopes=new.scopes,
        queues=new.queues,
        expires_at=new.expires_at,
    )
    if made is not None:
        details = {"prefix": key.prefix, "scopes": new.scopes, "queues": new.queues, "expires_at": new.expires_at}
        audit.record(conn, by, Action.KEY_CREATE, new.name, **details)
    return made


def revoke(conn: Connection, by: Actor, *, name_or_prefix: str | None = None, key_id: UUID | None = None) -> list[str]:
    """The names of the keys that are revoked now and were not before, each with its row in the audit log."""
    revoked = api_keys.revoke(conn, name_or_prefix=name_or_prefix, key_id=key_id)
    for name in revoked:
        audit.record(conn, by, Action.KEY_REVOKE, name)
    return revoked
