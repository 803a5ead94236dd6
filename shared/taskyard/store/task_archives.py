"""Archives of tasks: which file holds which tasks, and how far the tasks are deleted.

An archive is open from its first byte until its tasks are gone from the ledger. There is one open archive at most,
which one attempt works on. `claim` fences its writes: another attempt takes an open archive over once the task of the
first one no longer runs under that claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.errors import Fenced
from ..domain.ids import new_id
from . import tree_items
from .tables.task_archives import task_archive
from .tree_items import TreeItem

# Of the tree items that hold archives. Nothing else makes items of this type.
OBJECT_TYPE = "task_archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskArchive:
    """`item_id` is None until its file is stored. `deleted` of its `tasks` are gone from the ledger; the others were
    retried or discarded meanwhile, and stayed."""

    id: UUID
    task_id: UUID
    claim: UUID
    item_id: UUID | None
    tasks: int
    deleted: int
    first_id: UUID | None
    last_id: UUID | None
    first_finished_at: datetime | None
    last_finished_at: datetime | None
    created_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True, slots=True)
class Span:
    """What a file holds: how many tasks, their lowest and highest id, the first and last time at which one ended."""

    tasks: int
    first_id: UUID
    last_id: UUID
    first_finished_at: datetime
    last_finished_at: datetime


_BEGIN = sa.text("""
INSERT INTO task_archive AS a (id, task_id, claim) VALUES (:id, :task_id, :claim)
ON CONFLICT ((cleared_at IS NULL)) WHERE cleared_at IS NULL
DO UPDATE SET task_id = excluded.task_id, claim = excluded.claim
WHERE (a.task_id, a.claim) = (excluded.task_id, excluded.claim)
    OR NOT EXISTS (SELECT FROM task t WHERE t.id = a.task_id AND t.claim = a.claim AND t.state = 'running')
RETURNING *
""")
_STORED = sa.text("""
UPDATE task_archive SET item_id = :item_id, tasks = :tasks, first_id = :first_id, last_id = :last_id,
    first_finished_at = :first_finished_at, last_finished_at = :last_finished_at
WHERE id = :id AND claim = :claim AND item_id IS NULL AND cleared_at IS NULL
""")
_CLEARED = sa.text("""
UPDATE task_archive SET cleared_at = now() WHERE id = :id AND claim = :claim AND cleared_at IS NULL
""")
_ABANDONED = sa.text("DELETE FROM task_archive WHERE id = :id AND claim = :claim AND item_id IS NULL")
_COUNT = sa.text("""
UPDATE task_archive SET deleted = deleted + :more WHERE id = :id AND claim = :claim AND cleared_at IS NULL
""")

_LOCK_FILE = sa.text("SELECT FROM tree_item WHERE id = :item_id FOR SHARE")


def begin(conn: Connection, task_id: UUID, claim: UUID) -> TaskArchive | None:
    """The open archive, for the attempt of that claim to go on with, or a new one; None where another task that runs
    has it."""
    row = conn.execute(_BEGIN, {"id": new_id(), "task_id": task_id, "claim": claim}).first()
    return None if row is None else _archive(row)


def stored(conn: Connection, archive: TaskArchive, item: TreeItem, span: Span) -> None:
    """Notes the file, whose bytes are durable by now, in a transaction of the caller's. Raises Fenced."""
    values = {"id": archive.id, "claim": archive.claim, "item_id": item.id}
    spanned = {name: getattr(span, name) for name in Span.__slots__}
    _require(conn.execute(_STORED, {**values, **spanned}).rowcount)
    tree_items.insert(conn, [item])


def count_deleted(conn: Connection, archive: TaskArchive, more: int) -> None:
    """Locks the archive until the end of the transaction. Raises Fenced."""
    _require(conn.execute(_COUNT, {"id": archive.id, "claim": archive.claim, "more": more}).rowcount)


def lock_file(conn: Connection, archive: TaskArchive) -> bool:
    """Keeps the archive's item from being deleted until the end of the transaction; False where it is gone."""
    return conn.execute(_LOCK_FILE, {"item_id": archive.item_id}).first() is not None


def close(conn: Connection, archive: TaskArchive) -> None:
    """Its tasks are gone, or its file is. Raises Fenced."""
    _require(conn.execute(_CLEARED, {"id": archive.id, "claim": archive.claim}).rowcount)


def abandon(conn: Connection, archive: TaskArchive) -> None:
    """Forgets an archive that has no file."""
    conn.execute(_ABANDONED, {"id": archive.id, "claim": archive.claim})


def page(
    conn: Connection,
    *,
    limit: int,
    before: UUID | None = None,
    after: datetime | None = None,
    until: datetime | None = None,
    holding: UUID | None = None,
    known_as: UUID | None = None,
) -> list[TaskArchive]:
    """Up to `limit` archives that got a file, newest first, with ids below `before`. `after` and `until`: those with a
    task that may have ended in that time; `holding`: those that may hold this task; `known_as`: the one with this id,
    or with an item of this id."""
    a = task_archive.c
    found = sa.select(task_archive).where(a.item_id.is_not(None)).order_by(a.id.desc()).limit(limit)
    if before is not None:
        found = found.where(a.id < before)
    if after is not None:
        found = found.where(a.last_finished_at >= after)
    if until is not None:
        found = found.where(a.first_finished_at < until)
    if holding is not None:
        found = found.where(a.first_id <= holding, a.last_id >= holding)
    if known_as is not None:
        found = found.where((a.id == known_as) | (a.item_id == known_as))
    return [_archive(row) for row in conn.execute(found)]


def _require(rows: int) -> None:
    if not rows:
        raise Fenced("this attempt does not hold the archive any more")


def _archive(row: Any) -> TaskArchive:
    return TaskArchive(**row._mapping)
