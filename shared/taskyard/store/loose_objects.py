"""Keys of bytes in the storage that belong to no item: those about to be written, and those of deleted items."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from .tables.tree_items import loose_object

_OVERDUE = timedelta(days=1)  # as for what interrupted writers leave


def note(conn: Connection, key: str) -> None:
    """Before the object with this key is committed to the storage; `tree_items.insert` takes the note away."""
    conn.execute(postgresql.insert(loose_object).values(key=key).on_conflict_do_nothing())


def overdue(conn: Connection, *, limit: int) -> list[str]:
    """Up to `limit` keys that have been loose for a day, the oldest first."""
    old = loose_object.c.noted_at < sa.func.now() - _OVERDUE
    return list(conn.scalars(sa.select(loose_object.c.key).where(old).order_by(loose_object.c.noted_at).limit(limit)))


def forget(conn: Connection, keys: Collection[str]) -> None:
    """After the objects were deleted."""
    given = sa.bindparam("keys", list(keys), type_=sa.ARRAY(sa.Text))
    conn.execute(sa.delete(loose_object).where(loose_object.c.key == sa.any_(given)))
