"""What a worker's child process is made of: one Dramatiq worker with one consumer and M threads, one writer,
one dispatcher.

The process's main thread keeps them (child_process.py): it reports that the loops turn, gives back claims
that nobody began, and raises time limits and cancellations in the tasks they are meant for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import dramatiq
import structlog
from dramatiq import Worker
from sqlalchemy import Connection

from taskyard.broker.connect import make_redis
from taskyard.broker.names import ACTOR, LANES, Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue import types as catalogue_types
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.explanations import explanation
from taskyard.domain.tasks import Change, Failed, FailureKind, Fault, Released
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.claim import Claimed
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, finish
from taskyard.settings import Settings
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger

from . import implementations
from .consumer import Lane, LanesBroker
from .control import Plan
from .deliveries import Deliveries
from .desk import ASYNC_LIMIT, Desk
from .handle import resident_bytes
from .implementations import Function
from .inbox import Inbox
from .metrics import WorkerMetrics
from .quarantine import QuarantineLane
from .runner import Runner
from .slots import SlotTable
from .submitter import LedgerSubmitter, known_queues
from .writer import End, Writer

log = structlog.stdlib.get_logger(__name__)

_UNBEGUN_SECONDS = 1.0
# The consumer, the writer, the dispatcher, and one to spare. Tasks have connections of their own: they may
# take as many as they like without keeping an outcome from being recorded.
_CONNECTIONS = 4
_MEMORY_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Skills:
    """What a child can run."""

    catalogue: Catalogue
    functions: dict[str, Function]
    cipher: Cipher

    @classmethod
    def load(cls, settings: Settings) -> Skills:
        """Imports the task modules; raises whatever is wrong with them or with the keys."""
        catalogue = catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
        return cls(
            catalogue,
            implementations.collect(catalogue, settings.task_modules),
            Cipher([key.get_secret_value() for key in settings.secret_keys]),
        )


class Child:
    """The running parts; `retire` once, then `stop`."""

    def __init__(self, plan: Plan, settings: Settings, skills: Skills, table: SlotTable) -> None:
        self.plan = plan
        self.settings = settings
        self._table = table
        self._retired = False
        self._suspected = threading.Event()
        self._checked_memory_at = 0.0
        self.has_abandoned = False
        catalogue, cipher, names = skills.catalogue, skills.cipher, Names(settings.namespace)
        label = f"{plan.worker}:{plan.index}"
        database_url = settings.database_url.get_secret_value()
        self._engine = ledger.make_engine(
            database_url, pool_size=_CONNECTIONS, application_name=f"taskyard-worker {label}"
        )
        self._tasks_engine = ledger.make_engine(
            database_url, pool_size=plan.threads + 4, application_name=f"taskyard-task {label}"
        )
        redis_url = settings.redis_url.get_secret_value()
        self._client = make_redis(redis_url)
        self.metrics = WorkerMetrics.of_child(catalogue, plan.queues)
        self.metrics.metrics.watch_pool(self._engine, self._tasks_engine)
        database = self.metrics.metrics.dependency("database")
        self.desk = Desk(table, threads=plan.threads, async_limit=ASYNC_LIMIT)
        self.dispatcher = Dispatcher(self._engine, make_publisher(redis_url, names))
        worker_id, types = UUID(plan.worker_id), catalogue.names

        def reassert(conn: Connection, ends: Sequence[End]) -> set[UUID]:
            held = [
                Assertion(e.slot.task_id, e.slot.claim, e.slot.work.attempt, label)
                for e in ends
                if e.slot.work is not None
            ]
            return assert_claims(conn, held, worker_id=worker_id)

        self.writer = Writer(self._engine, self.dispatcher, self.desk, self.metrics, reassert=reassert)
        self.deliveries = Deliveries(self.desk, self.writer)
        broker = LanesBroker(  # type: ignore[no-untyped-call]
            client=self._client, namespace=settings.namespace, middleware=[], maintenance_chance=0
        )
        broker.broker_id = plan.inbox

        def ask(ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
            with database.watched(LedgerUnavailable):
                return ledger.run(
                    self._engine,
                    lambda conn: claims.claim(
                        conn,
                        ids,
                        claim=claim,
                        worker_id=worker_id,
                        worker=label,
                        types=types,
                        alone=plan.quarantine,
                    ),
                )

        def give_up(task_id: UUID, claim: UUID, error: Exception) -> None:
            code = "task_unreadable"
            reason = (str(error).splitlines() or [""])[0][:500]
            fault = Fault(code, explanation(code, reason=reason), type(error).__name__, False, FailureKind.INVALID)
            end = Finished(task_id, claim, Failed(fault))
            result = ledger.run(self._engine, lambda conn: finish(conn, [end]))
            self.dispatcher.dispatch(Committed(changes=result.changes))

        def won(changes: Sequence[Change], works: Sequence[Claimed]) -> None:
            self.writer.started(changes)
            self.metrics.claimed(works)

        def suspects() -> Sequence[UUID]:
            return ledger.run(self._engine, lambda conn: claims.suspects(conn, plan.queues, types=types))

        self.lane: Lane | QuarantineLane
        if plan.quarantine:
            self.lane = QuarantineLane(self.desk, suspects=suspects, claim=ask, give_up=give_up, won=won)
        else:
            self.lane = Lane(
                Inbox(broker, names, plan.queues, child=uuid4(), client=self._client),
                self.desk,
                plan.queues,
                claim=ask,
                refusals=lambda ids: ledger.run(
                    self._engine, lambda conn: claims.refusals(conn, ids, types=types, worker_id=worker_id)
                ),
                put_off=lambda ids: void(
                    ledger.run(self._engine, lambda conn: claims.put_off(conn, ids, reason="unknown_task_type"))
                ),
                give_up=give_up,
                won=won,
                suspected=self._suspected.set,
                broker=self.metrics.metrics.dependency("redis"),
            )
        broker.lane = self.lane
        runner = Runner(
            catalogue=catalogue,
            functions=skills.functions,
            cipher=cipher,
            settings=settings,
            storage=LocalStorage(settings.storage_dir),
            connect=lambda: ledger.transaction(self._tasks_engine),
            submitter=LedgerSubmitter(
                self._tasks_engine, self.dispatcher, cipher, known_queues(settings, catalogue), life=settings.task_life
            ),
            sink=self.writer,
            desk=self.desk,
            ends=self.writer,
        )
        self.desk.is_async = runner.is_async
        dramatiq.actor(actor_name=ACTOR, queue_name=LANES, broker=broker)(runner.run)
        self._worker = Worker(broker, worker_threads=plan.threads, worker_timeout=500)

    def start(self) -> None:
        self.dispatcher.start()
        self.writer.start()
        self._worker.start()

    def keep(self) -> None:
        """One turn of the main thread's loop."""
        self._table.report(
            pid=os.getpid(),
            tick=time.monotonic(),
            polled=self.lane.polled,
            fetched=self.lane.fetched,
            wrote=self.writer.wrote,
            runs=self.desk.runs,
        )
        if self._retired:
            self.release(older_than=0.0, cause="the worker is stopping")
        else:
            self.release(older_than=_UNBEGUN_SECONDS, cause="no thread was free within a second")
        self.deliveries.turn()
        try:
            self.metrics.standing(self.desk, self.lane.polled)
        except Exception:  # figures are not worth a child with all its tasks
            log.exception("metrics_failed")

    def abandon(self, task_id: UUID, claim: UUID) -> None:
        """Its attempt was recorded as over, although it still runs: nothing waits for it any more."""
        if (slot := self.desk.find(task_id, claim)) is not None:
            self.has_abandoned = True
            self.desk.forget([slot])

    def met_suspects(self) -> bool:
        """Whether, since the last time this was asked, a task came by that has to run alone."""
        met = self._suspected.is_set()
        self._suspected.clear()
        return met

    def why_retire(self) -> str | None:
        """Why it should take nothing more, now."""
        if isinstance(self.lane, QuarantineLane):
            if self.desk.is_touched:
                return "interrupted"
            if self.lane.is_idle:
                return "no_suspects"
        return None

    def why_worn(self) -> str | None:
        """Why another child should take its place; until that one may, it goes on."""
        limit, now = self.settings.max_memory_per_child_mb, time.monotonic()
        if limit and now - self._checked_memory_at > _MEMORY_CHECK_SECONDS:
            self._checked_memory_at = now
            if resident_bytes(os.getpid()) > limit * 1024**2:
                return "max_memory"
        if self.desk.is_touched:
            return "interrupted"  # what an exception from outside left half done stays so
        if self.settings.max_tasks_per_child and self.desk.runs >= self.settings.max_tasks_per_child:
            return "max_tasks"
        return None

    def release(self, *, older_than: float, cause: str) -> None:
        """Gives claims back that have not begun."""
        now = time.monotonic()
        for slot in self.desk.give_back(older_than=older_than):
            self.writer.end(End(slot, Released(cause), None, now))

    def retire(self) -> None:
        """Take no more; what has begun goes on."""
        self._retired = True
        self.lane.drain()
        self.release(older_than=0.0, cause="the worker is stopping")

    @property
    def is_done(self) -> bool:
        """Nothing is held, and nothing will come. In this order: what the lane has handed on is seen."""
        return self._retired and self.lane.is_drained and not self.desk.busy

    def stop(self) -> None:
        """After the last task: everything recorded, everything told."""
        self._worker.stop(timeout=100 if self.has_abandoned else 5_000)
        self.writer.stop(timeout=10.0)
        self.dispatcher.stop()
        self._engine.dispose()
        self._tasks_engine.dispose()


def void(_: object) -> None:
    return None
