"""A worker's child process: `python -m taskyard_worker.child CONTROL_FD SLOTS_FD`, started by the supervisor.

One Dramatiq worker with one consumer and M threads, one writer, one dispatcher. Its main thread keeps it:
it reports that the loops turn, gives back claims that nobody began, and listens to the supervisor. It ends
with its supervisor.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import dramatiq
import structlog
from dramatiq import Worker

from taskyard.broker.connect import make_redis
from taskyard.broker.names import ACTOR, LANES, Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue import types as catalogue_types
from taskyard.catalogue.secrets import Cipher, SecretsUnreadable
from taskyard.catalogue.types import Catalogue
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.explanations import explanation
from taskyard.domain.tasks import Change, Failed, FailureKind, Fault, Released
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, finish
from taskyard.settings import InvalidSettings, Settings, read_settings
from taskyard.storage.local import LocalStorage
from taskyard.store import engine as ledger
from taskyard.telemetry.logging import set_up_logging

from . import capture, implementations
from .consumer import Lane, LanesBroker
from .control import HELD_SIGNALS, Control, Plan, die_with_parent
from .desk import ASYNC_LIMIT, Desk
from .handle import resident_bytes
from .implementations import Function
from .inbox import Inbox
from .metrics import WorkerMetrics
from .runner import Runner
from .slots import SlotTable
from .submitter import LedgerSubmitter, known_queues
from .writer import End, Writer

log = structlog.stdlib.get_logger(__name__)

EXIT_MISCONFIGURED = 2
_TICK_SECONDS = 0.25
_RETIRING_TICK_SECONDS = 0.03
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
        self.writer = Writer(self._engine, self.dispatcher, self.desk, self.metrics)
        broker = LanesBroker(  # type: ignore[no-untyped-call]
            client=self._client, namespace=settings.namespace, middleware=[], maintenance_chance=0
        )
        worker_id, types = UUID(plan.worker_id), catalogue.names

        def ask(ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
            with database.watched(LedgerUnavailable):
                return ledger.run(
                    self._engine,
                    lambda conn: claims.claim(conn, ids, claim=claim, worker_id=worker_id, worker=label, types=types),
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

        self.lane = broker.lane = Lane(
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
            broker=self.metrics.metrics.dependency("redis"),
        )
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
            wrote=self.writer.wrote,
            runs=self.desk.runs,
        )
        if self._retired:
            self.release(older_than=0.0, cause="the worker is stopping")
        else:
            self.release(older_than=_UNBEGUN_SECONDS, cause="no thread was free within a second")
        try:
            self.metrics.standing(self.desk, self.lane.polled)
        except Exception:  # figures are not worth a child with all its tasks
            log.exception("metrics_failed")

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
        self._worker.stop(timeout=5_000)
        self.writer.stop(timeout=10.0)
        self.dispatcher.stop()
        self._engine.dispose()
        self._tasks_engine.dispose()


def void(_: object) -> None:
    return None


def in_one_line(error: Exception) -> str:
    """What is wrong, for people; the kind of an error that nobody foresaw as well."""
    said = " ".join(str(error).split())
    known = isinstance(error, InvalidSettings | SecretsUnreadable | implementations.Unimplemented)
    return said if known else f"TASKYARD_TASK_MODULES: {type(error).__name__}: {said}"


def main(argv: Sequence[str]) -> int:
    control_fd, slots_fd, slots_size, parent = (int(a) for a in argv)
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the supervisor decides
    asked = {"stop": False}
    signal.signal(signal.SIGTERM, lambda *_: asked.update(stop=True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
    control = Control(control_fd)
    first = control.hear(30.0)
    if first is None:
        return 1
    plan = Plan(**first)
    try:
        settings = read_settings(**plan.overrides)
        set_up_logging(
            "worker",
            level=settings.log_level,
            style=settings.log_format,
            process=f"{plan.worker}:{plan.index}",
        )
        skills = Skills.load(settings)
    except Exception as e:  # noqa: BLE001 - a task module may raise anything; the supervisor says it once for all
        control.say(event="misconfigured", message=in_one_line(e))
        return EXIT_MISCONFIGURED
    capture.install()
    child = Child(plan, settings, skills, SlotTable(slots_fd, slots_size))
    child.start()
    child.keep()
    control.say(event="ready", pid=os.getpid())
    _serve(child, control, lambda: asked["stop"])
    child.stop()
    return 0


def _serve(child: Child, control: Control, asked_to_stop: Callable[[], bool]) -> None:
    """Keeps the child until it has retired and nothing is left to do."""
    retiring = False
    checked = 0.0
    while not child.is_done:
        message = control.hear(_RETIRING_TICK_SECONDS if retiring else _TICK_SECONDS)
        child.keep()
        why = None
        if message and message.get("do") == "drain":
            why = "drain"
        elif asked_to_stop():
            why = "terminated"
        elif child.settings.max_tasks_per_child and child.desk.runs >= child.settings.max_tasks_per_child:
            why = "max_tasks"
        elif time.monotonic() - checked > _MEMORY_CHECK_SECONDS:
            checked = time.monotonic()
            limit = child.settings.max_memory_per_child_mb
            if limit and resident_bytes(os.getpid()) > limit * 1024**2:
                why = "max_memory"
        if why and not retiring:
            retiring = True
            log.info("child_retiring", why=why)
            control.say(event="retiring", why=why)
            child.retire()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
