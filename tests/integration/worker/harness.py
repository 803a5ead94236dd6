"""Puts a child's parts together for tests: lane, writer and what they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import redis
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Change, Publication, State
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle import submit
from taskyard.lifecycle.claim import Claimed
from taskyard.store import ledger
from taskyard_worker.child.consumer import Lane, LanesBroker
from taskyard_worker.child.claim_table import ASYNC_LIMIT, Desk, Slot
from taskyard_worker.child.fetcher import Inbox
from taskyard_worker.slots import SlotTable
from taskyard_worker.child.writer import End, Writer
from tests.integration.lifecycle.rows import register
from tests.support.fleet import wait_for

NAME = "tests.task"
QUEUES = ("high", "default")


class Quiet:
    """A dispatcher that keeps what was committed, and an observer that keeps what was recorded."""

    def __init__(self) -> None:
        self.committed: list[Any] = []
        self.ends: list[tuple[End, State]] = []
        self.fences: list[End] = []

    def dispatch(self, committed: Any) -> None:
        self.committed.append(committed)

    def recorded(self, end: End, state: State) -> None:
        self.ends.append((end, state))

    def fenced(self, end: End) -> None:
        self.fences.append(end)

    @property
    def changes(self) -> list[Change]:
        return [change for committed in self.committed for change in committed.changes]


class Bench:
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
        """Tasks in the ledger that nobody has told Redis of."""
        tasks = [
            submit.NewTask(
                id=new_id(),
                name=name,
                queue=queue,
                params={"value": n},
                max_attempts=4,
                soft_timeout_seconds=540.0,
                hard_timeout_seconds=600.0,
            )
            for n in range(count)
        ]
        self.run(lambda conn: submit.submit(conn, tasks))
        return [task.id for task in tasks]

    def publish(self, ids: Sequence[UUID], *, queue: str = "default", number: int = 1) -> None:
        self.publisher.publish([Publication(i, queue, number) for i in ids])

    def put(self, count: int = 1, *, queue: str = "default", name: str = NAME) -> list[UUID]:
        """Tasks that wait in Redis too."""
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
            lambda conn: claims.claim(
                conn, ids, claim=claim or uuid4(), worker_id=self.worker_id, worker="w:0", types=[NAME]
            )
        )
        return works

    # Redis

    def waiting(self, queue: str = "default") -> int:
        return int(self.client.llen(self.names.queue(queue)))

    def payloads(self, queue: str = "default") -> int:
        return int(self.client.hlen(self.names.messages(queue)))

    # Parts

    def desk(self, threads: int = 4) -> Desk:
        table = SlotTable.create(Desk.table_size(threads, ASYNC_LIMIT))
        table.hand_down()
        return Desk(table, threads=threads, async_limit=ASYNC_LIMIT)

    def lane(self, desk: Desk | None = None, **more: Any) -> TestLane:
        return TestLane(self, desk or self.desk(), **more)

    def writer(self, desk: Desk) -> tuple[Writer, Quiet]:
        """A writer that runs until the test is over."""
        quiet = Quiet()
        writer = Writer(self.engine, quiet, desk, quiet)  # type: ignore[arg-type]
        writer.start()
        self._closers.append(lambda: writer.stop(10.0))
        return writer, quiet

    def hold(self, desk: Desk, count: int = 1) -> list[Slot]:
        """Claims that were won and have begun."""
        ids = self.submit(count)
        claim = uuid4()
        slots = desk.settle(desk.enter(ids, claim), self.claim(ids, claim))
        assert all(desk.begin(slot) for slot in slots)
        return slots


class TestLane:
    """A lane whose dealings with the ledger can be made to fail."""

    __test__ = False

    def __init__(self, bench: Bench, desk: Desk, **more: Any) -> None:
        self.bench = bench
        self.desk = desk
        self.won: list[Claimed] = []
        self.put_off: list[UUID] = []
        self.broker = LanesBroker(  # type: ignore[no-untyped-call]
            client=bench.client, namespace=bench.names.namespace, middleware=[], maintenance_chance=0
        )
        self.inbox = Inbox(self.broker, bench.names, QUEUES, child=uuid4(), client=bench.client)
        self.given_up: list[UUID] = []
        calls: dict[str, Any] = {
            "claim": self.claim,
            "refusals": self.refusals,
            "won": self.on_won,
            "give_up": lambda task_id, claim, error: self.given_up.append(task_id),
            **more,
        }
        self.lane = Lane(self.inbox, desk, QUEUES, put_off=self.put_off.extend, **calls)

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        return self.bench.claim(ids, claim)

    def refusals(self, ids: Sequence[UUID]) -> list[claims.Refusal]:
        found: list[claims.Refusal] = self.bench.run(
            lambda conn: claims.refusals(conn, ids, types=[NAME], worker_id=self.bench.worker_id)
        )
        return found

    def on_won(self, changes: Sequence[Change], works: Sequence[Claimed]) -> None:
        self.won.extend(works)

    def take(self, turns: int = 1) -> list[Slot]:
        """The claims that come out of so many fetches."""
        taken: list[Slot] = []
        for _ in range(turns):
            while (message := self.lane.next_message()) is not None:
                taken.append(message.args[0])
                if not self.lane._ready:
                    break
        return taken

    def unacknowledged(self, queue: str = "default") -> int:
        key = self.bench.names.acks(self.broker.broker_id, queue)
        return int(self.bench.client.scard(key))

    def take_until(self, count: int, seconds: float = 15) -> list[Slot]:
        """Fetches until so many claims have come."""
        taken: list[Slot] = []

        def are_there() -> bool:
            taken.extend(self.take())
            return len(taken) >= count

        wait_for(are_there, seconds, f"{count} claims")
        return taken

    def finish(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            assert self.desk.begin(slot)
            self.desk.finished(slot, 0.2)
        self.desk.forget(slots)
