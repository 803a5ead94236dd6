"""Files that a task makes, as tree items: all of them or none, and once in all attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard import TaskContext
from taskyard.domain.ids import new_id
from taskyard.storage.interface import Stored, Writer
from taskyard.store import loose_objects, tree_items
from taskyard.store.tree_items import TreeItem
from taskyard_kits.stored_files import not_found, storage_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file to store. `write` writes its bytes; raises what the task raises."""

    name: str
    object_type: str
    content_type: str
    write: Callable[[Writer], object]


def kept(context: TaskContext) -> list[TreeItem]:
    """What an earlier attempt of this task stored, oldest first; empty where none did."""
    with context.db() as conn:
        return tree_items.made_by(conn, context.task_id)


def keep(context: TaskContext, files: Sequence[MadeFile], *, parent: TreeItem | None = None) -> list[TreeItem]:
    """Stores the files as items of the `parent`, in their order; what this task stored meanwhile (a claim that was
    thought lost) stays instead. Raises TaskError `item_not_found` where the parent is gone, `storage_unavailable`.
    """
    with ExitStack() as discarded:
        items = [_written(context, file, parent, discarded) for file in files]
        with context.db() as conn:
            has_parent = _lock(conn, context, parent)
            stored = tree_items.made_by(conn, context.task_id)
            if has_parent and not stored:
                stored = tree_items.insert(conn, items)
                discarded.pop_all()
    if not has_parent:
        raise not_found()
    return stored


def put_in_place(context: TaskContext, item: TreeItem, file: MadeFile) -> TreeItem | None:
    """Stores the file as the content of the item, which was read before; None where the item has another content by
    now, or is gone. Who reads meanwhile finds the one or the other, whole. Raises TaskError `storage_unavailable`."""
    with ExitStack() as discarded:
        new = replace(_written(context, file, None, discarded), id=item.id)
        with context.db() as conn:
            stored = tree_items.replace_content(conn, new, instead_of=item.storage_key)
            if stored is not None:
                discarded.pop_all()
    return stored


def _written(context: TaskContext, file: MadeFile, parent: TreeItem | None, discarded: ExitStack) -> TreeItem:
    """The file in storage, and the item that it will be; `discarded` deletes the bytes."""
    with storage_errors(), context.storage.writer() as writer:
        file.write(writer)
        with context.db() as conn:
            loose_objects.note(conn, writer.key)
        content = writer.commit()
    discarded.callback(context.storage.delete, content.key)
    return _item(context, file, content, parent)


def _lock(conn: Connection, context: TaskContext, parent: TreeItem | None) -> bool:
    """Makes the question for stored files and their insert one step; whether the parent is still there."""
    if parent is not None:
        return tree_items.lock(conn, parent.id) is not None
    conn.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(str(context.task_id), 0))))
    return True


def _item(context: TaskContext, file: MadeFile, content: Stored, parent: TreeItem | None) -> TreeItem:
    return TreeItem(
        id=new_id(),
        name=file.name,
        object_type=file.object_type,
        content_type=file.content_type,
        size=content.size,
        sha256=content.sha256,
        storage_key=content.key,
        parent_id=None if parent is None else parent.id,
        submitted_by=context.submitted_by,
        task_id=context.task_id,
    )
