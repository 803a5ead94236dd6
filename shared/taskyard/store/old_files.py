"""Tree items past their age, which is the time since their content was stored: a raster that replaced an image today is
not old, whatever the age of the image. Nothing records when an item was read."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.ids import earliest_id_at
from . import audit, tree_items
from .audit import Action, Actor
from .reads import CLOCK_SKEW
from .tables.tree_items import tree_item
from .task_archives import OBJECT_TYPE
from .tree_items import TreeItem

_LOWEST = UUID(int=0)

# In every form in which a parameter may name an item: with capitals, without hyphens, within an address. One walk over
# the tasks that have not ended; the statement's time-out bounds it.
_NAMED = sa.text("""
SELECT DISTINCT named.id FROM task t
CROSS JOIN LATERAL regexp_matches(
    t.params::text,
    '(?<![0-9a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])', 'gi') AS found
CROSS JOIN LATERAL (SELECT CAST(found[1] AS uuid) AS id) named
WHERE t.finished_at IS NULL AND named.id = ANY(:ids)
""")


def page(
    conn: Connection, age: timedelta, *, after: UUID | None = None, owner: str | None = None, limit: int
) -> list[TreeItem]:
    """Up to `limit` items older than `age`, the oldest first, with ids above `after`; of the `owner` (None: of all).
    Archives of tasks are never among them."""
    newest = earliest_id_at(datetime.now(UTC) - age + CLOCK_SKEW)
    c = tree_item.c
    found = (
        sa.select(tree_item)
        .where(c.id > (after or _LOWEST), c.id < newest, _is_old(age))
        .where(c.object_type != OBJECT_TYPE)
        .order_by(c.id)
        .limit(limit)
    )
    if owner is not None:
        found = found.where(c.submitted_by == owner)
    return [TreeItem(**row._mapping) for row in conn.execute(found)]


def named_by_tasks(conn: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Those of the items that the parameters of a task name which has not ended."""
    if not ids:
        return set()
    return set(conn.scalars(_NAMED, {"ids": list(ids)}))


def delete(conn: Connection, ids: Collection[UUID], age: timedelta, *, by: Actor) -> list[TreeItem]:
    """Removes the items that are older than `age` and that no waiting or running task names, as
    `DELETE /tree-items/{id}` does; returns them. Their bytes are loose then: the caller deletes them after the commit.
    In a transaction of the caller's."""
    old = _lock_old(conn, ids, age)
    return _delete(conn, old - named_by_tasks(conn, old), by)


# Not one whose tasks are still in the ledger: it would be written anew.
_OLD_ARCHIVES = sa.text("""
SELECT i.id FROM tree_item i WHERE i.object_type = :object_type AND i.created_at < now() - CAST(:age AS interval)
    AND NOT EXISTS (SELECT FROM task_archive a WHERE a.item_id = i.id AND a.cleared_at IS NULL)
ORDER BY i.id LIMIT :limit FOR UPDATE SKIP LOCKED
""")


def delete_archives(conn: Connection, age: timedelta, *, by: Actor, limit: int) -> list[TreeItem]:
    """Likewise up to `limit` archives of tasks that were made longer ago than `age`."""
    old = conn.scalars(_OLD_ARCHIVES, {"object_type": OBJECT_TYPE, "age": age, "limit": limit}).all()
    return _delete(conn, old, by)


def _delete(conn: Connection, ids: Collection[UUID], by: Actor) -> list[TreeItem]:
    gone = tree_items.delete(conn, ids)
    for item in gone:
        details = {"name": item.name, "size": item.size, "sha256": item.sha256}
        audit.record(conn, by, Action.TREE_ITEM_DELETE, item.id, **details)
    return gone


def _lock_old(conn: Connection, ids: Collection[UUID], age: timedelta) -> set[UUID]:
    """Those of the items that are old by now: a task may have replaced a content since the page was read. Locked before
    it is asked which tasks have not ended, so that none replaces a content in between."""
    c = tree_item.c
    found = sa.select(c.id).where(c.id.in_(ids), _is_old(age)).order_by(c.id).with_for_update()
    return set(conn.scalars(found))


def _is_old(age: timedelta) -> sa.ColumnElement[bool]:
    return tree_item.c.created_at < sa.func.now() - age
