"""Lists of the API: one page, or all of their items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from .models import Answer

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .calls import Call
    from .connection import Connection

T = TypeVar("T")


class Page(Answer, Generic[T]):
    """`next_cursor` is that of the page behind it; None: this is the last."""

    items: list[T]
    next_cursor: str | None = None


PageAt = Callable[["str | None"], "Call[Page[T]]"]


def each(api: Connection, page_at: PageAt[T]) -> Iterator[T]:
    """All items, a page at a time."""
    cursor: str | None = None
    while True:
        page = api.send(page_at(cursor))
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


async def each_async(api: AsyncConnection, page_at: PageAt[T]) -> AsyncIterator[T]:
    """As `each`."""
    cursor: str | None = None
    while True:
        page = await api.send(page_at(cursor))
        for item in page.items:
            yield item
        cursor = page.next_cursor
        if cursor is None:
            return
