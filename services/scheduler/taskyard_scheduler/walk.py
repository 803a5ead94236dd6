"""A walk through all queued rows that finds those which Redis has lost: for the leader, and for the command.

Rows whose message Redis does not hold are suspects, and a second look decides. It asks the ledger, Redis, and the
ledger again. An outbox row is deleted only after its messages are in Redis, and a message only after its claim is
committed. So a row that was in no outbox before Redis was asked, and that is still queued afterwards, was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import Publication
from taskyard.lifecycle.committed import Announcer, commit
from taskyard.store import ledger

from .queued_tasks import Page, Position, QueuedTasks

T = TypeVar("T")


class LedgerAccess(Protocol):
    """How a walk reads and writes the ledger: `Leadership` for the leader, `DirectAccess` for a command."""

    def read(self, verb: Callable[[Connection], T], /) -> T: ...

    def write(self, verb: Callable[[Connection], T], /) -> T: ...


class DirectAccess:
    """Access without a lease. Raises LedgerUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, verb: Callable[[Connection], T]) -> T:
        return ledger.run(self._engine, verb)

    write = read


class Walk:
    """`step` goes through all queues page by page, and begins anew after the last page."""

    def __init__(self, access: LedgerAccess, tasks: QueuedTasks) -> None:
        self._access = access
        self._tasks = tasks
        self._position = Position()

    @property
    def is_at_start(self) -> bool:
        return self._position == Position()

    def restart(self) -> None:
        self._position = Position()

    def step(self) -> tuple[Page, list[Publication]]:
        """The next page, and which of its old rows Redis does not know; the same page again after a failure.

        Raises what the access raises, and redis.RedisError.
        """
        page = self._access.read(partial(self._tasks.page, position=self._position))
        unknown = self._tasks.unknown(page.old)
        self._position = page.next or Position()
        return page, unknown

    def lost(self, suspects: Sequence[Publication], announcer: Announcer | None) -> list[Publication]:
        """The second look: the suspects that were lost. With an announcer they get outbox rows and are published."""
        still_queued = partial(self._tasks.still_queued, suspects=suspects)
        unknown = self._tasks.unknown(self._access.read(still_queued))
        if not unknown:
            return []
        if announcer is None:
            return self._access.read(partial(self._tasks.still_queued, suspects=unknown))
        return commit(self._access.write, partial(self._tasks.publish_again, suspects=unknown), announcer)
