"""Tree items: stored files with a name, a type, the key of their bytes, and the item that they were made from.

Storage and database have no common transaction. So the key of an object is noted as loose before the object is
committed, and again in the transaction that deletes its item, or replaces its content; the transaction that gives it to
an item takes the note away. What is still loose a day later is deleted: `sweep` of `loose_objects`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from . import loose_objects
from .tables.tree_items import loose_object, tree_item

_OF_CONTENT = ("name", "object_type", "content_type", "size", "sha256", "storage_key", "task_id")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeItem:
    """`id` is a UUIDv7, so that items sort by creation. `task_id`: the task that made it.

    `created_at`, of its content, is set by PostgreSQL; None in an item that was not read from it.
    """

    id: UUID
    name: str
    content_type: str
    size: int
    sha256: str
    storage_key: str
    object_type: str = "file"
    parent_id: UUID | None = None
    submitted_by: str | None = None
    task_id: UUID | None = None
    created_at: datetime | None = None


def insert(conn: Connection, items: Sequence[TreeItem]) -> list[TreeItem]:
    """Writes the items and returns them with `created_at`, in the order given.

    May be repeated: an id that exists is left as it is, and missing in the answer.
    """
    if not items:
        return []
    rows = [{k: v for k, v in asdict(item).items() if k != "created_at"} for item in items]
    keys = sa.bindparam("keys", [item.storage_key for item in items], type_=sa.ARRAY(sa.Text))
    kept = sa.delete(loose_object).where(loose_object.c.key == sa.any_(keys)).cte("kept")
    statement = postgresql.insert(tree_item).values(rows).on_conflict_do_nothing().returning(tree_item).add_cte(kept)
    written = {item.id: item for item in map(_item, conn.execute(statement))}
    return [written[item.id] for item in items if item.id in written]


def owner_seen(key: str | None, queues: Collection[str] | None) -> str | None:
    """Whose items the key of that name may see: its own where it is restricted to `queues`, else everybody's (None). An
    item belongs to the key that made it, or that submitted the task that made it."""
    return None if queues is None else key or ""


def get(conn: Connection, ids: Collection[UUID], *, owner: str | None = None) -> dict[UUID, TreeItem]:
    """The items with these ids (of the `owner`; None: of all); those that don't exist are missing in the answer."""
    if not ids:
        return {}
    statement = sa.select(tree_item).where(tree_item.c.id == sa.any_(_uuids(ids)), _belongs_to(owner))
    return {item.id: item for item in map(_item, conn.execute(statement))}


def lock(conn: Connection, item_id: UUID) -> TreeItem | None:
    """The item, locked until the end of the transaction: it cannot be deleted, nor items be made from it, meanwhile."""
    row = conn.execute(sa.select(tree_item).where(tree_item.c.id == item_id).with_for_update()).first()
    return None if row is None else _item(row)


def page(
    conn: Connection,
    *,
    limit: int,
    before: UUID | None = None,
    parent_id: UUID | None = None,
    owner: str | None = None,
) -> list[TreeItem]:
    """Up to `limit` items, newest first, with ids below `before`; of one parent, or one owner, where that is given."""
    statement = sa.select(tree_item).where(_belongs_to(owner)).order_by(tree_item.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(tree_item.c.id < before)
    if parent_id is not None:
        statement = statement.where(tree_item.c.parent_id == parent_id)
    return [_item(row) for row in conn.execute(statement)]


def made_by(conn: Connection, task_id: UUID) -> list[TreeItem]:
    """The items that a task made, oldest first."""
    statement = sa.select(tree_item).where(tree_item.c.task_id == task_id).order_by(tree_item.c.id)
    return [_item(row) for row in conn.execute(statement)]


def delete(conn: Connection, ids: Collection[UUID], *, owner: str | None = None) -> list[TreeItem]:
    """Removes the rows (of the `owner`; None: of all) and returns them. Their bytes are loose then: the caller deletes
    them after the commit."""
    if not ids:
        return []
    locked = (
        sa.select(tree_item.c.id)
        .where(tree_item.c.id == sa.any_(_uuids(ids)), _belongs_to(owner))
        .order_by(tree_item.c.id)
        .with_for_update()
        .cte("locked")
    )
    gone = sa.delete(tree_item).where(tree_item.c.id == locked.c.id).returning(tree_item).cte("gone")
    loose = postgresql.insert(loose_object).from_select(["key"], sa.select(gone.c.storage_key)).on_conflict_do_nothing()
    return [_item(row) for row in conn.execute(sa.select(gone).add_cte(loose.cte("loose")))]


def replace_content(conn: Connection, item: TreeItem, *, instead_of: str) -> TreeItem | None:
    """Writes the content of the item, with its name, its types and the task that made it, where it still is the one
    with the key `instead_of`; None where it is not, or the item is gone.

    The bytes that were there are loose then, and are deleted in a day: whoever has read the row before can still read
    them. `created_at` is the time of the content, and differs from the one before by a second at least, which is what
    Last-Modified can tell.
    """
    moved = sa.func.greatest(sa.func.now(), sa.func.date_trunc("second", tree_item.c.created_at) + _SECOND)
    new = {column: getattr(item, column) for column in _OF_CONTENT}
    is_as_before = (tree_item.c.id == item.id) & (tree_item.c.storage_key == instead_of)
    statement = sa.update(tree_item).where(is_as_before).values(**new, created_at=moved).returning(tree_item)
    row = conn.execute(statement).first()
    if row is None:
        return None
    loose_objects.note(conn, instead_of)
    loose_objects.forget(conn, [item.storage_key])
    return _item(row)


def _belongs_to(owner: str | None) -> sa.ColumnElement[bool]:
    return sa.true() if owner is None else tree_item.c.submitted_by == owner


def _uuids(ids: Collection[UUID]) -> sa.ColumnElement[Any]:
    return sa.bindparam("ids", list(ids), type_=sa.ARRAY(sa.Uuid), unique=True)


def _item(row: Any) -> TreeItem:
    return TreeItem(**row._mapping)
