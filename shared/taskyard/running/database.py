"""PostgreSQL as tasks have it: `context.db()`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Protocol

from sqlalchemy import Connection, Engine

from ..domain.errors import TaskError
from ..store import ledger

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Database(Protocol):
    """Opens transactions. Each is committed where its block ends without an error."""

    def transaction(self) -> AbstractContextManager[Connection]: ...

    def async_transaction(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(frozen=True, slots=True)
class NoDatabase:
    """In place of a database: `context.db()` raises this error."""

    code: str
    message: str = ""

    def transaction(self) -> NoReturn:
        raise TaskError(self.code, self.message, retryable=False)

    def async_transaction(self) -> NoReturn:
        raise TaskError(self.code, self.message, retryable=False)


@dataclass(frozen=True, slots=True)
class EngineDatabase:
    """Transactions on the engine; those of coroutines have connections of their own to the same server."""

    engine: Engine

    def transaction(self) -> AbstractContextManager[Connection]:
        return ledger.transaction(self.engine)

    @asynccontextmanager
    async def async_transaction(self) -> AsyncIterator[AsyncConnection]:
        from ..store.async_engine import async_transaction, make_async_engine

        async with async_transaction(make_async_engine(self.engine.url, pool_size=None)) as conn:
            yield conn


@dataclass(frozen=True, slots=True)
class Transaction:
    """`with` in a function, `async with` in a coroutine. For one use, as the two that it is made of."""

    of_function: AbstractContextManager[Connection]
    of_coroutine: AbstractAsyncContextManager[AsyncConnection]

    def __enter__(self) -> Connection:
        """Raises TypeError on a running event loop, which would stand still."""
        if asyncio._get_running_loop() is not None:
            raise TypeError("in a coroutine: async with context.db() as conn")
        return self.of_function.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self.of_function.__exit__(kind, error, trace)

    async def __aenter__(self) -> AsyncConnection:
        return await self.of_coroutine.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self.of_coroutine.__aexit__(kind, error, trace)
