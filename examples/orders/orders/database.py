"""The session of the application's database: one engine a process, made by the first task that needs it.

A worker forks no engine and opens no connection at import. All coroutine functions of a process share one event loop,
and the engine belongs to it. At the end of the process `hooks.py` disposes it, so that PostgreSQL sees its connections
closed and not lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from .settings import OrderSettings

log = logging.getLogger(__name__)

_DISPOSE_SECONDS = 2.0
_given: ContextVar[AsyncSession | None] = ContextVar("orders_session", default=None)
_engines: dict[asyncio.AbstractEventLoop, AsyncEngine] = {}


@asynccontextmanager
async def session(settings: OrderSettings) -> AsyncIterator[AsyncSession]:
    """A session with one transaction, which is committed where the block ends without an error.

    Within `using(session)` it is that session, and whoever made it decides on its transaction.
    """
    if (given := _given.get()) is not None:
        yield given
        await given.flush()
        return
    async with AsyncSession(_engine(settings), expire_on_commit=False) as own, own.begin():
        yield own


@contextmanager
def using(given: AsyncSession) -> Iterator[None]:
    """Within the block, `session` is this one: for tests that roll back afterwards."""
    token = _given.set(given)
    try:
        yield
    finally:
        _given.reset(token)


def _engine(settings: OrderSettings) -> AsyncEngine:
    loop = asyncio.get_running_loop()
    if loop not in _engines:
        address = settings.database_url.get_secret_value()
        options = {"application_name": "orders"}
        _engines[loop] = create_async_engine(address, pool_size=settings.pool_size, connect_args=options)
    return _engines[loop]


def dispose_all() -> None:
    """Disposes the engines of all loops that turn in other threads. Raises TimeoutError."""
    for loop in list(_engines):
        engine = _engines.pop(loop)
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(engine.dispose(), loop).result(_DISPOSE_SECONDS)
            log.info("the engine of the orders is disposed")


async def dispose() -> None:
    """Disposes the engine of the running loop: where a loop ends before its process, as in tests."""
    engine = _engines.pop(asyncio.get_running_loop(), None)
    if engine is not None:
        await engine.dispose()
