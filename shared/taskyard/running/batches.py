"""Batches: a walk over many items that goes on where it stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sized
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from ..domain.errors import Unfinished
from ..failpoints import failpoint
from ..lifecycle import marks

if TYPE_CHECKING:
    from .context import TaskContext

T = TypeVar("T")

SIZE = 100
# Others get PostgreSQL, and the interpreter, between two batches.
BREATH = timedelta(milliseconds=10)


class Marks(Protocol):
    """Keeps for each task how many items are done."""

    def position(self, task_id: UUID) -> int: ...

    def move(self, task_id: UUID, claim: UUID, to: int) -> None: ...


class LedgerMarks:
    """`run` runs a verb in a transaction. The methods raise LedgerUnavailable, and `move` raises Fenced."""

    def __init__(self, run: Callable[[Callable[[Connection], Any]], Any]) -> None:
        self._run = run

    def position(self, task_id: UUID) -> int:
        done: int = self._run(lambda conn: marks.position(conn, task_id))
        return done

    def move(self, task_id: UUID, claim: UUID, to: int) -> None:
        failpoint("mark.before")
        self._run(lambda conn: marks.move(conn, task_id, claim, to))
        failpoint("mark.after")


class KeptMarks(dict[UUID, int]):
    """In memory, for runs without a ledger."""

    def position(self, task_id: UUID) -> int:
        return self.get(task_id, 0)

    def move(self, task_id: UUID, claim: UUID, to: int) -> None:
        self[task_id] = to


class Batches(Generic[T]):
    """What `context.batches` returns: for one `for` of a function, or one `async for` of a coroutine."""

    def __init__(self, context: TaskContext, items: Iterable[T], *, total: int | None, message: str, size: int) -> None:
        self._context = context
        self._items = items
        self._total = len(items) if total is None and isinstance(items, Sized) else total
        self._message = message
        self._size = size

    def __iter__(self) -> Iterator[list[T]]:
        if asyncio._get_running_loop() is not None:
            raise TypeError("in a coroutine: async for batch in context.batches(...)")
        return self._walk()

    def _walk(self) -> Iterator[list[T]]:
        context = self._context
        with context.shield:
            position = context.marks.position(context.task_id)
        walk = _Walk(self, position)  # reads the items before, which may take long: that can be interrupted
        while batch := walk.next_batch():
            yield batch
            with context.shield:
                context.marks.move(context.task_id, context.claim, walk.done(batch))
            if walk.goes_on():
                time.sleep(BREATH.total_seconds())
                walk.yield_to_limits()

    async def __aiter__(self) -> AsyncIterator[list[T]]:
        context = self._context
        walk = _Walk(self, await asyncio.to_thread(context.marks.position, context.task_id))
        while batch := walk.next_batch():
            yield batch
            await asyncio.to_thread(context.marks.move, context.task_id, context.claim, walk.done(batch))
            if walk.goes_on():
                await asyncio.sleep(BREATH.total_seconds())
                walk.yield_to_limits()


class _Walk:
    """Where a walk is, and how long its batches take."""

    def __init__(self, batches: Batches[Any], position: int) -> None:
        self._batches = batches
        self._position = position
        self._items = islice(batches._items, position, None)
        self._began = time.monotonic()
        self._longest = 0.0
        self._next = list(islice(self._items, batches._size))
        self._tell()

    def next_batch(self) -> list[Any]:
        self._began = time.monotonic()
        return self._next

    def done(self, batch: list[Any]) -> int:
        """The mark behind it."""
        self._position += len(batch)
        return self._position

    def goes_on(self) -> bool:
        """Tells the progress; whether another batch follows."""
        self._tell()
        self._next = list(islice(self._items, self._batches._size))
        self._longest = max(self._longest, time.monotonic() - self._began)
        return bool(self._next)

    def yield_to_limits(self) -> None:
        """Raises Unfinished where the soft limit could cut the next batch in two. Each attempt has done a batch by
        then, so that the walk ends some time."""
        context = self._batches._context
        context.check_cancelled()
        if context.seconds_left < 2 * self._longest:
            raise Unfinished

    def _tell(self) -> None:
        batches = self._batches
        batches._context.progress(self._position, batches._total, batches._message)
