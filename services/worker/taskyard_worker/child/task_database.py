"""`context.db()` in a worker: connections under the role of tasks, for threads and for coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, Engine

from taskyard.running.database import NoDatabase
from taskyard.store import ledger
from taskyard.store.task_role import refuse_powerful

from .copies import refuse_in_copy
from .event_loop import EventLoop

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.stdlib.get_logger(__name__)

_DISPOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class NoTaskDatabase(NoDatabase):
    """Where the worker has no address for tasks."""

    code: str = "no_task_database"

    def engines(self) -> Sequence[Engine]:
        return ()

    def dispose(self) -> None: ...


class TaskDatabase:
    """`threads` and `coroutines`: how many connections each of the two has at most.

    The engines for coroutines are made with the first one: their modules take 50 ms and 6 MB, and most tasks are plain
    functions. The pool belongs to the loop of the `async def` tasks; a loop that a task has made itself ends with that
    task, so its connections are not kept.
    """

    def __init__(
        self, url: str, name: str, statement_timeout: timedelta, loop: EventLoop, *, threads: int, coroutines: int
    ) -> None:
        self._url = url
        self._name = name
        self._statement_timeout = statement_timeout
        self._loop = loop
        self._coroutines = coroutines
        self._engine = ledger.make_engine(
            url, pool_size=threads, statement_timeout=statement_timeout, application_name=name
        )
        refuse_powerful(self._engine)

    def transaction(self) -> AbstractContextManager[Connection]:
        """For plain functions. Raises RuntimeError in a copy of the process, as the next one does."""
        refuse_in_copy()
        return ledger.transaction(self._engine)

    @asynccontextmanager
    async def async_transaction(self) -> AsyncIterator[AsyncConnection]:
        """For coroutines."""
        refuse_in_copy()
        from taskyard.store.async_engine import async_transaction

        async with async_transaction(self._pooled if self._loop.is_here() else self._unpooled) as conn:
            yield conn

    def engines(self) -> Sequence[Engine]:
        """Those with a pool that have been made so far."""
        pooled: AsyncEngine | None = vars(self).get("_pooled")
        return [self._engine] if pooled is None else [self._engine, pooled.sync_engine]

    def dispose(self) -> None:
        """Closes the connections that no task uses."""
        self._engine.dispose()
        if "_pooled" in vars(self):
            try:
                self._loop.finish(self._pooled.dispose(), seconds=_DISPOSE_SECONDS)
            except TimeoutError:  # a task blocks the loop; the connections end with the process
                log.warning("connections_left_open")

    @cached_property
    def _pooled(self) -> AsyncEngine:
        return self._make(self._coroutines)

    @cached_property
    def _unpooled(self) -> AsyncEngine:
        return self._make(None)

    def _make(self, pool_size: int | None) -> AsyncEngine:
        from taskyard.store.async_engine import make_async_engine

        engine = make_async_engine(
            self._url, pool_size=pool_size, statement_timeout=self._statement_timeout, application_name=self._name
        )
        refuse_powerful(engine.sync_engine)
        return engine
