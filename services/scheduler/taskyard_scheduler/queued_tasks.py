"""Queued rows of the ledger, and which of their messages Redis holds; a walk through all of them finds what is lost.

Rows whose message Redis does not hold are suspects, and a second look decides. It asks the ledger, Redis, and the
ledger again. An outbox row is deleted only after its messages are in Redis, and a message only after its claim is
committed. So a row that was in no outbox before Redis was asked, and that is still queued afterwards, was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import redis
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.broker.names import Names
from taskyard.domain.tasks import Publication
from taskyard.lifecycle import publish
from taskyard.lifecycle.claim import IS_APART
from taskyard.lifecycle.committed import Announcer, Committed, commit
from taskyard.store import ledger

T = TypeVar("T")

PAGE = 1000
QUEUED_FOR_SECONDS = 30.0
_FIRST = UUID(int=0)
# A leader that ends in the middle takes back nothing.
_TOLD_SECONDS = 3600

# The page is cut before the age is checked, or one page could read through a whole queue of young rows. What runs
# apart is claimed from the ledger, so it needs no message; what waits for its limit has none yet.
_QUEUED = sa.text(f"""
SELECT id, queue, publication,
    NOT {IS_APART} AND limited IS DISTINCT FROM 'waiting'
        AND queued_at <= now() - CAST(:age AS float8) * interval '1 second' AS is_old
FROM (
    SELECT id, queue, publication, queued_at, suspicions, crashes, displacements, limited FROM task
    WHERE queue = :queue AND state = 'queued' AND finished_at IS NULL AND id > :after
    ORDER BY id LIMIT :limit
) t ORDER BY id
""")  # noqa: S608 constants only

# One step in ix_task_live. The queues come from the ledger, not from the settings: a task type may bring its own.
_NEXT_QUEUE = sa.text("SELECT queue FROM task WHERE finished_at IS NULL AND queue > :queue ORDER BY queue LIMIT 1")

# A thousand look-ups in one script cost Redis the same as single commands, and this process a twentieth.
_UNKNOWN = """
local unknown = {}
for i, id in ipairs(ARGV) do
    if redis.call('hexists', KEYS[1], id) == 0 then unknown[#unknown + 1] = i end
end
return unknown
"""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk through all queued rows has come to in (queue, id); at first before all queues."""

    queue: str = ""
    after: UUID = _FIRST


@dataclass(frozen=True, slots=True)
class Page:
    """`size` rows, of which `old` have been queued for long enough; `next` is None after the last queue's last page."""

    queue: str
    size: int
    old: list[Publication]
    next: Position | None


class QueuedTasks:
    """The queries of reconcile and rebuild: `page`, `still_queued` and `publish_again` ask the ledger, `unknown` asks
    Redis, `tell_lost` leaves there what the API tells of both."""

    def __init__(self, client: redis.Redis, names: Names, *, age_seconds: float = QUEUED_FOR_SECONDS) -> None:
        self._client = client
        self._names = names
        self._age = age_seconds
        self._unknown = client.register_script(_UNKNOWN)

    def of_any_age(self) -> QueuedTasks:
        """The same for rows that have only just been queued, too."""
        return QueuedTasks(self._client, self._names, age_seconds=0.0)

    def page(self, conn: Connection, position: Position) -> Page:
        """The queued rows that follow `position`."""
        values = {"queue": position.queue, "after": position.after, "limit": PAGE, "age": self._age}
        rows = conn.execute(_QUEUED, values).all()
        if len(rows) == PAGE:
            following: Position | None = Position(position.queue, rows[-1].id)
        else:
            queue = conn.execute(_NEXT_QUEUE, {"queue": position.queue}).scalar()
            following = None if queue is None else Position(queue)
        old = [Publication(row.id, row.queue, row.publication) for row in rows if row.is_old]
        return Page(position.queue, len(rows), old, following)

    def tell_lost(self, lost: int) -> None:
        # A Redis that is full or away must not keep tasks from being published; the metric tells it all the same.
        with suppress(redis.RedisError):
            if lost:
                self._client.set(self._names.lost, lost, ex=_TOLD_SECONDS)
            else:
                self._client.delete(self._names.lost)

    def unknown(self, publications: Sequence[Publication]) -> list[Publication]:
        """Those whose message Redis does not hold, neither in a queue nor with a consumer. Raises redis.RedisError."""
        by_queue: dict[str, list[Publication]] = defaultdict(list)
        for publication in publications:
            by_queue[publication.queue].append(publication)
        found = []
        for queue, wanted in by_queue.items():
            for start in range(0, len(wanted), PAGE):
                chunk = wanted[start : start + PAGE]
                answer: Any = self._unknown(keys=[self._names.messages(queue)], args=[p.message_id for p in chunk])
                found += [chunk[index - 1] for index in answer]
        return found

    def still_queued(self, conn: Connection, suspects: Sequence[Publication]) -> list[Publication]:
        """Those that are still queued with the same publication, for long enough, and in no outbox row."""
        return publish.unpublished(conn, suspects, age_seconds=self._age)

    def publish_again(self, conn: Connection, suspects: Sequence[Publication]) -> Committed[list[Publication]]:
        """The same, with an outbox row for them."""
        return publish.publish_again(conn, suspects, age_seconds=self._age)


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
