"""A child's parts on real servers, put together for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID, uuid4

import redis
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.domain.tasks import Change, Publication, State
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle import submit
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.store import ledger
from taskyard_worker.child.claim_table import ClaimTable
from taskyard_worker.child.claims import Holder
from taskyard_worker.child.consumer import TaskConsumer
from taskyard_worker.child.fetcher import Fetcher
from taskyard_worker.child.slot import Slot
from taskyard_worker.child.writer import End, Writer
from taskyard_worker.slots import SlotTable, table_size
from tests.integration.lifecycle.rows import register
from tests.support.fleet import wait_for
from tests.support.ledger import new_task

NAME = "tests.task"
QUEUES = ("high", "default")


class Kept:
    """A dispatcher that keeps what was committed, and an observer that keeps what was recorded."""

    def __init__(self) -> None:
        self.committed: list[Any] = []
        self.ends: list[tuple[End, State]] = []
        self.fences: list[End] = []

    def dispatch(self, committed: Any) -> None:
        self.committed.append(committed)

    def finishing(self) -> AbstractContextManager[object]:
        return nullcontext()

    def recorded(self, ends: Sequence[tuple[End, State]]) -> None:
        self.ends.extend(ends)

    def fenced(self, end: End) -> None:
        self.fences.append(end)

    @property
    def changes(self) -> list[Change]:
        return [change for committed in self.committed for change in committed.changes]


class Harness:
    """A ledger, a broker, and a worker that lives."""

    def __init__(self, engine: Engine, client: redis.Redis) -> None:
        self.engine = engine
        self.client = client
        self.names = Names()
        self.publisher = Publisher(client, self.names)
        self.worker_id = self.register()
        self._closers: list[Callable[[], object]] = []

    def close(self) -> None:
        for close in reversed(self._closers):
            close()

    # The ledger

    def run(self, verb: Callable[[Connection], Any]) -> Any:
        return ledger.run(self.engine, verb)

    def query(self, statement: str, **params: Any) -> Sequence[sa.Row[Any]]:
        rows: Sequence[sa.Row[Any]] = self.run(lambda conn: conn.execute(sa.text(statement), params).all())
        return rows

    def execute(self, statement: str, **params: Any) -> None:
        self.run(lambda conn: conn.execute(sa.text(statement), params))

    def register(self) -> UUID:
        return ledger.run_transaction(self.engine, lambda conn: register(conn, queues=QUEUES))

    def submit(self, count: int = 1, *, queue: str = "default", name: str = NAME) -> list[UUID]:
        """Tasks in the ledger that are not published."""
        tasks = [new_task(name, queue=queue, params={"value": n}) for n in range(count)]
        self.run(lambda conn: submit.submit(conn, tasks))
        return [task.id for task in tasks]

    def publish(self, ids: Sequence[UUID], *, queue: str = "default", number: int = 1) -> None:
        self.publisher.publish([Publication(i, queue, number) for i in ids])

    def put(self, count: int = 1, *, queue: str = "default", name: str = NAME) -> list[UUID]:
        """Tasks that are published, too."""
        ids = self.submit(count, queue=queue, name=name)
        self.publish(ids, queue=queue)
        return ids

    def rows(self) -> dict[UUID, sa.Row[Any]]:
        return {row.id: row for row in self.query("SELECT * FROM task")}

    def states(self, ids: Sequence[UUID]) -> list[str]:
        rows = {r.id: r.state for r in self.query("SELECT id, state FROM task WHERE id = ANY(:ids)", ids=list(ids))}
        return [rows[i] for i in ids]

    def claim(self, ids: Sequence[UUID], claim: UUID | None = None) -> list[Claimed]:
        works: list[Claimed] = self.run(
            lambda conn: (
                claims.claim(
                    conn, ids, claim=claim or uuid4(), worker_id=self.worker_id, worker="w:0", types={NAME: 1}
                ).answer
            )
        )
        return works

    def refusals(self, ids: Sequence[UUID]) -> list[Refusal]:
        found: list[Refusal] = self.run(
            lambda conn: claims.refusals(conn, ids, types={NAME: 1}, worker_id=self.worker_id)
        )
        return found

    # Redis

    def waiting(self, queue: str = "default") -> int:
        return int(self.client.llen(self.names.queue(queue)))

    def payloads(self, queue: str = "default") -> int:
        return int(self.client.hlen(self.names.messages(queue)))

    # Parts

    def claim_table(self, threads: int = 4, clock: Callable[[], float] = time.monotonic) -> ClaimTable:
        slots = SlotTable.create(table_size(threads))
        slots.hand_down()
        return ClaimTable(slots, threads=threads, clock=clock)

    def child(self, table: ClaimTable | None = None, **overrides: Any) -> ConsumingChild:
        return ConsumingChild(self, table or self.claim_table(), **overrides)

    def writer(self, table: ClaimTable) -> tuple[Writer, Kept]:
        """A writer that runs until the test is over."""
        kept = Kept()
        writer = Writer(self.engine, kept, table, kept, Holder(self.worker_id, "w:0"))  # type: ignore[arg-type]
        writer.start()
        self._closers.append(lambda: writer.stop(10.0))
        return writer, kept

    def hold(self, table: ClaimTable, count: int = 1) -> list[Slot]:
        """Claims that were won and have begun."""
        ids = self.submit(count)
        claim = uuid4()
        slots = table.settle(table.enter(ids, claim), self.claim(ids, claim))
        assert all(table.begin(slot) for slot in slots)
        return slots


class ConsumingChild:
    """A consumer and its claim source, whose methods a test can override by name."""

    def __init__(self, harness: Harness, table: ClaimTable, **overrides: Any) -> None:
        self.harness = harness
        self.table = table
        self.won: list[Claimed] = []
        self.were_put_off: list[UUID] = []
        self.unreadable: list[UUID] = []
        self.fetcher = Fetcher(harness.client, harness.names, QUEUES, str(uuid4()))
        self.broker = self.fetcher._broker
        vars(self).update(overrides)
        self.consumer = TaskConsumer(self.fetcher, table, self)

    # What the consumer asks of the ledger

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        return self.harness.claim(ids, claim)

    def refusals(self, ids: Sequence[UUID]) -> list[Refusal]:
        return self.harness.refusals(ids)

    def put_off(self, ids: Sequence[UUID]) -> None:
        self.were_put_off.extend(ids)

    def hold_back(self, ids: Sequence[UUID]) -> None:
        raise AssertionError("nothing here has a limit")

    def leave_slowed(self, refused: Sequence[Refusal]) -> None:
        raise AssertionError("nothing is slowed here")

    def fail_unreadable(self, task_id: UUID, claim: UUID, error: Exception) -> None:
        self.unreadable.append(task_id)

    def count(self, won: Sequence[Claimed]) -> None:
        self.won.extend(won)

    # What a test does with it

    def take(self, turns: int = 1) -> list[Slot]:
        """The claims that come out of so many fetches."""
        taken: list[Slot] = []
        for _ in range(turns):
            while self.consumer.next_message() is not None:
                taken += iter(self.table.waiting.take, None)
                if not self.consumer._calls:
                    break
        return taken

    def take_until(self, count: int, seconds: float = 15) -> list[Slot]:
        """Fetches until so many claims have come."""
        taken: list[Slot] = []

        def are_there() -> bool:
            taken.extend(self.take())
            return len(taken) >= count

        wait_for(are_there, seconds, f"{count} claims")
        return taken

    def unacknowledged(self, queue: str = "default") -> int:
        key = self.harness.names.acks(self.broker.broker_id, queue)
        return int(self.harness.client.scard(key))

    def finish(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            assert self.table.begin(slot)
            self.table.finished(slot, 0.2)
            self.table.freed(slot, 0.2)
        self.table.forget(slots)
