"""The rows of API keys: make, list, look up by prefix, revoke."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping
from sqlalchemy.dialects.postgresql import insert

from ..domain.ids import new_id
from .tables.access import api_key

# An arbitrary constant: of two bootstraps at the same time, only one may find no key.
_BOOTSTRAP_LOCK = 0x7A5C_0001


def create(
    conn: Connection,
    *,
    name: str,
    prefix: str,
    digest: bytes,
    scopes: Sequence[str],
    queues: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> UUID | None:
    """The new key's id, or None where the name or the prefix is taken."""
    statement = (
        insert(api_key)
        .values(
            id=new_id(),
            name=name,
            prefix=prefix,
            digest=digest,
            scopes=list(scopes),
            queues=None if queues is None else list(queues),
            expires_at=expires_at,
        )
        .on_conflict_do_nothing()
        .returning(api_key.c.id)
    )
    return conn.execute(statement).scalar()


def lock_for_bootstrap(conn: Connection) -> bool:
    """Takes a lock until the end of the transaction; returns whether there is no key yet."""
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _BOOTSTRAP_LOCK})
    return conn.execute(sa.select(api_key.c.id).limit(1)).first() is None


def by_prefix(conn: Connection, prefix: str) -> RowMapping | None:
    return conn.execute(sa.select(api_key).where(api_key.c.prefix == prefix)).mappings().first()


def every(conn: Connection) -> list[RowMapping]:
    return list(conn.execute(sa.select(api_key).order_by(api_key.c.created_at, api_key.c.id)).mappings())


def state_of(key: Mapping[Any, Any], now: datetime) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    return "expired" if key["expires_at"] is not None and key["expires_at"] <= now else "valid"


def page(
    conn: Connection, *, before: UUID | None = None, limit: int = 50, within: Collection[str] | None = None
) -> list[RowMapping]:
    """Up to `limit` keys, newest first, with ids below `before`."""
    found = sa.select(api_key).where(*_within(within)).order_by(api_key.c.id.desc()).limit(limit)
    if before is not None:
        found = found.where(api_key.c.id < before)
    return list(conn.execute(found).mappings())


def by_id(conn: Connection, key_id: UUID, *, within: Collection[str] | None = None) -> RowMapping | None:
    found = sa.select(api_key).where(api_key.c.id == key_id, *_within(within))
    return conn.execute(found).mappings().first()


def _within(queues: Collection[str] | None) -> list[sa.ColumnElement[bool]]:
    """Keys that are restricted to some of these queues; None: every key."""
    return [] if queues is None else [api_key.c.queues.op("<@")(sa.cast(sorted(queues), sa.ARRAY(sa.Text)))]


def revoke(conn: Connection, *, name_or_prefix: str | None = None, key_id: UUID | None = None) -> list[str]:
    """Revokes the key with this id, or the keys with this name or prefix; returns their names, without keys that were
    revoked before."""
    which = api_key.c.id == key_id
    if name_or_prefix is not None:
        which = sa.or_(api_key.c.name == name_or_prefix, api_key.c.prefix == name_or_prefix)
    statement = (
        sa.update(api_key)
        .where(which, api_key.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
        .returning(api_key.c.name)
    )
    return list(conn.execute(statement).scalars())
