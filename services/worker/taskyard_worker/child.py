"""A worker's child process: `python -m taskyard_worker.child CONTROL_FD SLOTS_FD`, started by the supervisor.

One Dramatiq worker with one consumer and M threads, one writer, one dispatcher. Its main thread keeps it:
it reports that the loops turn, gives back claims that nobody began, and listens to the supervisor. It ends
with its supervisor.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import dramatiq
import structlog
from dramatiq import Worker

from taskyard.broker.connect import make_redis
from taskyard.broker.names import ACTOR, LANES, Names
from taskyard.broker.publisher import Publisher
from taskyard.catalogue import types as catalogue_types
from taskyard.catalogue.secrets import Cipher, SecretsUnreadable
from taskyard.domain.tasks import Change, Released
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.settings import InvalidSettings, Settings, read_settings
from taskyard.storage.local import LocalStorage
from taskyard.store import engine as ledger
from taskyard.telemetry.logging import set_up_logging

from . import capture, implementations
from .consumer import Lane, LanesBroker
from .desk import ASYNC_LIMIT, Desk
from .metrics import WorkerMetrics
from .runner import Runner
from .slots import SlotTable
from .submitter import LedgerSubmitter
from .writer import End, Writer

log = structlog.stdlib.get_logger(__name__)

EXIT_MISCONFIGURED = 2
_TICK_SECONDS = 0.25
_UNBEGUN_SECONDS = 1.0
_MEMORY_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor tells a new child, as one line of JSON."""

    worker_id: str
    worker: str
    index: int
    queues: list[str]
    threads: int
    overrides: dict[str, Any]


class Child:
    """The running parts; `retire` once, then `stop`."""

    def __init__(self, plan: Plan, settings: Settings, table: SlotTable) -> None:
        self.plan = plan
        self.settings = settings
        self._table = table
        self._id = uuid4()
        names = Names(settings.namespace)
        catalogue = catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
        functions = implementations.collect(catalogue, settings.task_modules)
        cipher = Cipher([key.get_secret_value() for key in settings.secret_keys])
        redis_url = settings.redis_url.get_secret_value()
        self._engine = ledger.make_engine(
            settings.database_url.get_secret_value(),
            pool_size=plan.threads + 4,
            application_name=f"taskyard-worker {plan.worker}:{plan.index}",
        )
        self._client = make_redis(redis_url)
        self.metrics = WorkerMetrics.of_child(catalogue, plan.queues)
        self.desk = Desk(table, threads=plan.threads, async_limit=ASYNC_LIMIT)
        self.dispatcher = Dispatcher(self._engine, Publisher(self._client, names))
        self.writer = Writer(self._engine, self.dispatcher, self.desk, self.metrics)
        broker = LanesBroker(  # type: ignore[no-untyped-call]
            client=self._client, namespace=settings.namespace, middleware=[], maintenance_chance=0
        )
        worker_id, types = UUID(plan.worker_id), catalogue.names
        label = f"{plan.worker}:{plan.index}"

        def ask(ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
            return ledger.run(
                self._engine,
                lambda conn: claims.claim(
                    conn, ids, claim=claim, worker_id=worker_id, worker=label, types=types
                ),
            )

        def won(changes: Sequence[Change], works: Sequence[Claimed]) -> None:
            self.writer.started(changes)
            self.metrics.claimed(works)

        self.lane = broker.lane = Lane(
            broker,
            names,
            self.desk,
            plan.queues,
            child=self._id,
            client=self._client,
            waiter=self._client,
            claim=ask,
            refusals=lambda ids: ledger.run(
                self._engine, lambda conn: claims.refusals(conn, ids, types=types)
            ),
            put_off=lambda ids: void(
                ledger.run(self._engine, lambda conn: claims.put_off(conn, ids, reason="unknown_task_type"))
            ),
            won=won,
        )
        runner = Runner(
            catalogue=catalogue,
            functions=functions,
            cipher=cipher,
            settings=settings,
            storage=LocalStorage(settings.storage_dir),
            connect=lambda: ledger.transaction(self._engine),
            submitter=LedgerSubmitter(self._engine, self.dispatcher, cipher, settings.queues),
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
        self.release(older_than=_UNBEGUN_SECONDS, cause="no thread was free within a second")
        self.metrics.standing(self.desk, self.lane.polled)

    def release(self, *, older_than: float, cause: str) -> None:
        """Gives claims back that have not begun."""
        now = time.monotonic()
        for slot in self.desk.give_back(older_than=older_than):
            self.writer.end(End(slot, Released(cause), None, now))

    def retire(self) -> None:
        """Take no more; what has begun goes on."""
        self.lane.drain()
        self.release(older_than=0.0, cause="the worker is stopping")

    def stop(self) -> None:
        """After the last task: everything recorded, everything told."""
        self._worker.stop(timeout=5_000)
        self.release(older_than=0.0, cause="the worker is stopping")
        self.writer.stop(timeout=10.0)
        self.dispatcher.stop()
        self._engine.dispose()


def void(_: object) -> None:
    return None


def die_with_parent(parent: int) -> None:
    """Asks the kernel for SIGKILL when the supervisor's main thread ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before we could ask


class Control:
    """The supervisor's end of the line: JSON objects, one a line."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._buffer = b""

    def say(self, **message: Any) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(1)

    def hear(self, timeout: float) -> dict[str, Any] | None:
        """The next message, or None when the time is over. Ends the process where the supervisor is gone."""
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(timeout, 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                os._exit(1)
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard


def main(argv: Sequence[str]) -> int:
    control_fd, slots_fd, slots_size, parent = (int(a) for a in argv)
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the supervisor decides
    asked = {"stop": False}
    signal.signal(signal.SIGTERM, lambda *_: asked.update(stop=True))
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
        capture.install()
        child = Child(plan, settings, SlotTable(slots_fd, slots_size))
    except (InvalidSettings, SecretsUnreadable, ImportError, implementations.Unimplemented) as e:
        control.say(event="misconfigured", message=str(e))
        return EXIT_MISCONFIGURED
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
    while True:
        message = control.hear(_TICK_SECONDS if not retiring else 0.02)
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
        if retiring and not child.desk.busy:
            return


def resident_bytes(pid: int) -> int:
    """The resident memory of a process; 0 where it cannot be read."""
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - read every second
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
