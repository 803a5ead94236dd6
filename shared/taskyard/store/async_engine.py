"""Connections to PostgreSQL for coroutines, with the time-outs of those in `ledger.py`.

Needs greenlet, which the worker brings along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from .ledger import (
    SERVER_IS_LATE,
    Plans,
    connect_arguments,
    engine_options,
    leave_standby,
    raise_if_away,
    without_leftovers,
)


def make_async_engine(
    database_url: str | sa.URL,
    *,
    pool_size: int | None,
    statement_timeout: timedelta = timedelta(seconds=30),
    connect_timeout: timedelta = timedelta(seconds=5),
    application_name: str = "taskyard",
) -> AsyncEngine:
    """An engine whose pool belongs to one event loop. `pool_size=None`: without a pool, for any loop.

    Many coroutines share few connections: each waits for one for as long as a statement may take.
    """
    patience = statement_timeout + SERVER_IS_LATE

    async def connect(*arguments: Any, **options: Any) -> BoundedAsyncConnection:
        with without_leftovers():
            connection = await BoundedAsyncConnection.connect(*arguments, **connect_arguments(options))
        connection.patience_seconds = patience.total_seconds()
        return connection

    pool: dict[str, Any] = {"poolclass": NullPool}
    if pool_size is not None:
        pool = {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": patience.total_seconds()}
    options = engine_options(statement_timeout, connect_timeout, application_name, Plans.ANEW)
    options["connect_args"]["async_creator_fn"] = connect
    engine = create_async_engine(database_url, **pool, **options)
    sa.event.listen(engine.sync_engine, "handle_error", leave_standby)
    return engine


class BoundedAsyncConnection(psycopg.AsyncConnection[Any]):
    """As `BoundedConnection`: it waits for each answer for so long at most."""

    patience_seconds: float | None = None

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Raises psycopg.OperationalError where no answer came in time; the connection is closed then."""
        try:
            return await super().wait(gen, interval, timeout if timeout is not None else self.patience_seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what it answers later would be taken for the answer to another question
            raise


@asynccontextmanager
async def async_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction of several statements (READ COMMITTED), rolled back where the coroutine is cancelled.

    Raises LedgerUnavailable where PostgreSQL does not answer.
    """
    try:
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="READ COMMITTED")
            async with conn.begin():
                yield conn
    except (DBAPIError, PoolTimeout) as e:
        raise_if_away(e)
        raise
