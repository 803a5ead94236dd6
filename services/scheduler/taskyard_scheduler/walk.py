"""A walk through all queued rows that finds those which Redis has lost: for the leader, and for the command.

Rows whose message Redis does not hold are suspects, and a second look decides. It asks the ledger, Redis, and the
ledger again. An outbox row is deleted only after its messages are in Redis, and a message only after its claim is
committed. So a row that was in no outbox before Redis was asked, and that is still queued afterwards, was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import Publication
from taskyard.store import ledger

from .queued_tasks import Position, QueuedTasks

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


@dataclass(frozen=True, slots=True)
class Step:
    """One page of a queue: how many rows it had, and which of the old ones Redis does not know."""

    queue: str
    size: int
    unknown: list[Publication]
    is_last: bool


class Walk:
    """`step` goes through all queues page by page, and begins anew after the last page. `age_seconds`: how long rows
    have to be queued to count as old."""

    def __init__(self, access: LedgerAccess, tasks: QueuedTasks, *, age_seconds: float | None = None) -> None:
        self._access = access
        self._tasks = tasks
        self._age = age_seconds
        self._position = Position()

    @property
    def is_at_start(self) -> bool:
        return self._position == Position()

    def restart(self) -> None:
        self._position = Position()

    def step(self) -> Step:
        """The next page; the same one again where the ledger or Redis failed.

        Raises what the access raises, and redis.RedisError.
        """
        page = self._access.read(partial(self._tasks.page, position=self._position, age_seconds=self._age))
        step = Step(page.queue, page.size, self._tasks.unknown(page.old), page.next is None)
        self._position = page.next or Position()
        return step

    def lost(self, suspects: Sequence[Publication]) -> list[Publication]:
        """The second look: the suspects that were lost."""
        unknown = self._still_unknown(suspects)
        return self._access.read(partial(self._tasks.still_queued, suspects=unknown)) if unknown else []

    def take_lost(self, suspects: Sequence[Publication]) -> tuple[list[Publication], int | None]:
        """The same, and writes an outbox row for what was lost; returns its id, too."""
        unknown = self._still_unknown(suspects)
        return self._access.write(partial(self._tasks.add_to_outbox, suspects=unknown)) if unknown else ([], None)

    def _still_unknown(self, suspects: Sequence[Publication]) -> list[Publication]:
        return self._tasks.unknown(self._access.read(partial(self._tasks.still_queued, suspects=suspects)))
