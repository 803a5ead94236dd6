"""API keys as rows: made, listed, looked up by prefix, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping
from sqlalchemy.dialects.postgresql import insert

from ..domain.ids import new_id
from .tables import api_key

# Any constant does: two that bootstrap at the same time must not both find no key.
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
    """Held until the transaction ends; returns whether there is no key yet."""
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _BOOTSTRAP_LOCK})
    return conn.execute(sa.select(api_key.c.id).limit(1)).first() is None


def by_prefix(conn: Connection, prefix: str) -> RowMapping | None:
    return conn.execute(sa.select(api_key).where(api_key.c.prefix == prefix)).mappings().first()


def every(conn: Connection) -> list[RowMapping]:
    return list(conn.execute(sa.select(api_key).order_by(api_key.c.created_at, api_key.c.id)).mappings())


def revoke(conn: Connection, name_or_prefix: str) -> list[str]:
    """The names of the keys that have this name or prefix and were not revoked yet."""
    statement = (
        sa.update(api_key)
        .where(
            sa.or_(api_key.c.name == name_or_prefix, api_key.c.prefix == name_or_prefix),
            api_key.c.revoked_at.is_(None),
        )
        .values(revoked_at=sa.func.now())
        .returning(api_key.c.name)
    )
    return list(conn.execute(statement).scalars())
