"""Stored files as tasks open them, with words for people where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from uuid import UUID

from taskyard.domain.errors import TaskError
from taskyard.domain.explanations import explained
from taskyard.storage.interface import ObjectMissing, StorageUnavailable
from taskyard.store import tree_items
from taskyard.store.tree_items import TreeItem

from ..context import TaskContext


def find(context: TaskContext, item_id: UUID) -> TreeItem:
    """Raises TaskError `item_not_found`."""
    with context.db() as conn:
        item = tree_items.get(conn, [item_id]).get(item_id)
    if item is None:
        raise not_found()
    return item


def not_found() -> TaskError:
    return explained("item_not_found", retryable=False)


def damaged() -> TaskError:
    return explained("file_damaged", retryable=False)


@contextmanager
def storage_errors() -> Iterator[None]:
    """The storage's errors as the task's."""
    try:
        yield
    except ObjectMissing as e:
        raise explained("file_missing", retryable=False) from e
    except StorageUnavailable as e:
        raise explained("storage_unavailable", retryable=True, reason=e) from e


@contextmanager
def opened(context: TaskContext, item: TreeItem) -> Iterator[BinaryIO]:
    """The item's bytes. Raises TaskError `file_missing`, `storage_unavailable`."""
    with storage_errors(), context.storage.open(item.storage_key) as file:
        yield file
