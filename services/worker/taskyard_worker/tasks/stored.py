"""Stored files as tasks open them, with words for people where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from uuid import UUID

from taskyard.domain.errors import TaskError
from taskyard.storage.interface import ObjectMissing, StorageUnavailable
from taskyard.store import tree_items
from taskyard.store.tree_items import TreeItem

from ..context import TaskContext

_MESSAGES = {
    "item_not_found": "There is no stored file with this id. It may have been deleted: upload it again.",
    "file_missing": "The content of this file is gone. Upload it again.",
    "file_damaged": "The content of this file is not complete. Upload it again.",
    "storage_unavailable": "The files cannot be reached now: {reason}."
    " It is tried again; if that goes on, ask the operator.",
}


def find(context: TaskContext, item_id: UUID) -> TreeItem:
    """Raises TaskError `item_not_found`."""
    with context.db() as conn:
        item = tree_items.get(conn, [item_id]).get(item_id)
    if item is None:
        raise not_found()
    return item


def not_found() -> TaskError:
    return TaskError("item_not_found", _MESSAGES["item_not_found"], retryable=False)


def damaged() -> TaskError:
    return TaskError("file_damaged", _MESSAGES["file_damaged"], retryable=False)


@contextmanager
def storage_errors() -> Iterator[None]:
    """The storage's errors as the task's."""
    try:
        yield
    except ObjectMissing as e:
        raise TaskError("file_missing", _MESSAGES["file_missing"], retryable=False) from e
    except StorageUnavailable as e:
        message = _MESSAGES["storage_unavailable"].format(reason=e)
        raise TaskError("storage_unavailable", message, retryable=True) from e


@contextmanager
def opened(context: TaskContext, item: TreeItem) -> Iterator[BinaryIO]:
    """The item's bytes. Raises TaskError `file_missing`, `storage_unavailable`."""
    with storage_errors(), context.storage.open(item.storage_key) as file:
        yield file
