"""The ledger from an event loop: synchronous verbs on a bounded pool of threads."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.domain.messages import Message, message
from taskyard.lifecycle.committed import Announcer, Committed, commit
from taskyard.store import ledger
from taskyard.store.sqlstates import Meaning, meaning

from .patience import Pace, Patience, patience

T = TypeVar("T")

Timed = Callable[[], AbstractContextManager[object]]

# How many calls may wait for each thread. At a millisecond or two a call, the callers of later ones would have given up
# before they are answered.
_WAITING_PER_THREAD = 256


class NotMigrated(LedgerUnavailable):
    """PostgreSQL answers but lacks the newest tables."""


class LedgerPool:
    """Runs verbs on connections of `engine`, at most `threads` at a time.

    `announcer` takes over what was committed; `timed` is entered around what `run` does in its thread. Raises
    LedgerUnavailable where PostgreSQL does not answer in the time that is left to the request (NotMigrated: has no
    tables), and at a request's first call Overloaded where too many wait already, or wait too long.
    """

    def __init__(self, engine: Engine, threads: int, announcer: Announcer, timed: Timed = nullcontext) -> None:
        self.engine = engine
        self.threads = threads
        self._announcer = announcer
        self._timed = timed
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ledger")
        self._pace = Pace(threads)
        self._limit = threads * _WAITING_PER_THREAD
        self._under_way = 0

    async def run(self, verb: Callable[[Connection], T], *, within: Patience | None = None) -> T:
        """`verb` on a connection whose every statement commits on its own. `within`: for calls that are no part of the
        request that makes them."""

        def call() -> T:
            with self._timed():
                return ledger.run(self.engine, verb)

        return await self._call(call, within or patience())

    async def run_transaction(self, verb: Callable[[Connection], T]) -> T:
        """All statements of `verb` in one transaction."""
        return await self._call(partial(ledger.run_transaction, self.engine, verb), patience())

    async def commit(self, verb: Callable[[Connection], Committed[T]]) -> T:
        """All statements of `verb` in one transaction; what it did is announced."""
        run = partial(ledger.run_transaction, self.engine)
        return await self._call(partial(commit, run, verb, self._announcer), patience())

    async def _call(self, call: Callable[[], T], within: Patience) -> T:
        self._admit(within)

        def in_turn() -> T:
            with self._pace.turn():
                return call()

        self._under_way += 1
        try:
            context = contextvars.copy_context()
            async with within.wait():
                return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, in_turn)
        except ProgrammingError as e:
            if meaning(e) is Meaning.NOT_MIGRATED:
                raise NotMigrated("the database is not migrated") from e
            raise
        finally:
            self._under_way -= 1

    def _admit(self, request: Patience) -> None:
        """Once: a request that was refused in the middle would tell as undone what it has done."""
        if request.is_admitted:
            return
        if self._under_way >= self._limit:
            raise Overloaded(message("Too many requests wait for the database."))
        self._pace.admit(max(0, self._under_way - self.threads))
        request.admit()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class Share:
    """What calls that may take long get of the pool, so that others keep the rest: `threads` of them run at a time, the
    others wait, up to `calls` in all."""

    def __init__(self, threads: int, *, calls: int, refusal: Message) -> None:
        self._turns = asyncio.Semaphore(threads)
        self._room = calls
        self._refusal = refusal

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises Overloaded where too many wait."""
        if not self._room:
            raise Overloaded(self._refusal)
        self._room -= 1
        try:
            async with patience().wait():
                await self._turns.acquire()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._room += 1
