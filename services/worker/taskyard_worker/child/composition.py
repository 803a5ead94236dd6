"""The composition root of a child process."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from uuid import UUID

import dramatiq
from dramatiq import Worker

from taskyard.broker.connect import make_redis
from taskyard.broker.names import ACTOR, LANES, Names
from taskyard.broker.publisher import make_publisher
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.running.attempt import Services
from taskyard.running.attributes import NO_ATTRIBUTES
from taskyard.running.batches import LedgerMarks
from taskyard.running.children import Children
from taskyard.running.hooks import Hooks
from taskyard.running.registered import Registered
from taskyard.running.upkeep import Upkeep
from taskyard.running.webhooks import Webhooks
from taskyard.settings import Settings
from taskyard.storage.chosen import storage_of
from taskyard.store import ledger
from taskyard.store.ledger import engine_of
from taskyard.telemetry.exports import NO_EXPORTS, Exports

from ..control import Plan
from ..memory import allowance
from ..metrics import WorkerMetrics
from ..quarantine.consumer import SuspectConsumer
from ..slots import SlotTable
from .broker import ChildBroker
from .child import Child, Parts
from .claim_table import ClaimTable, Holder
from .claims import LedgerClaims
from .consumer import TaskConsumer
from .copies import detach_copies
from .event_loop import EventLoop
from .failures import Failures
from .fetcher import Fetcher
from .leftovers import Leftovers
from .run_log import RunLog
from .run_spans import RunSpans
from .runner import Runner
from .skills import Skills
from .slowed import Slowed
from .submitter import submit
from .task_database import NoTaskDatabase, TaskDatabase
from .wear import Wear, keep_reserve
from .writer import Writer

# The threads of the platform that use PostgreSQL, with one connection each. Submits of tasks have a pool of their own:
# however many connections they take, outcomes are recorded. Three at a time are enough: they are short, and the others
# wait.
LEDGER_THREADS = ("consumer", "writer", "dispatcher")
SUBMITS = ("context.submit()",) * 3
# `context.db()` of tasks, under a role of their own: one connection for each thread, and four that all coroutines
# share. Those wait for one on the event loop, which costs nothing.
COROUTINES = 4
_IDLE_MILLISECONDS = 500


def compose(plan: Plan, settings: Settings, skills: Skills, slots: SlotTable, exports: Exports = NO_EXPORTS) -> Child:
    """The parts of a child, wired; nothing runs yet."""
    names = Names(settings.namespace)
    redis_url = settings.redis_url.get_secret_value()
    engine = engine_of(settings, f"taskyard-worker {plan.label}", serves=LEDGER_THREADS)
    submits = engine_of(settings, f"taskyard-task {plan.label} submits", serves=SUBMITS)
    loop = EventLoop()
    database = _task_database(settings, plan, loop)
    metrics = WorkerMetrics.of_child(skills.catalogue, plan.queues)
    metrics.metrics.watch_pool(engine, submits, more=database.engines)
    table = ClaimTable(slots, threads=plan.threads, async_types=skills.async_types)
    dispatcher = Dispatcher(engine, make_publisher(redis_url, names))
    holder = Holder(UUID(plan.worker_id), plan.label)
    observer = Failures(metrics, exports.reports) if exports.reports.is_on else metrics
    writer = Writer(engine, dispatcher, table, observer, holder)
    slowed = Slowed()
    claims = LedgerClaims(
        engine,
        dispatcher,
        metrics,
        metrics.metrics.dependency("database"),
        holder,
        plan.queues,
        skills.catalogue.versions,
        settings.worker_lease,
        slowed,
        is_apart=plan.quarantine,
        reports=exports.reports,
    )
    consumer: TaskConsumer | SuspectConsumer
    if plan.quarantine:
        consumer = SuspectConsumer(table, claims)
    else:
        share = settings.lower_queues_share
        fetcher = Fetcher(make_redis(redis_url), names, plan.queues, plan.fetcher_id, lower_share=share)
        consumer = TaskConsumer(fetcher, table, claims, broker=metrics.metrics.dependency("redis"))
    spans = None if exports.tracer is None else RunSpans(exports.tracer)
    hooks = Hooks([*([] if spans is None else [spans]), RunLog(), *skills.hooks], metrics.metrics)
    children = Children(
        skills.catalogue,
        skills.cipher,
        queues={*settings.queues, *skills.queues, *plan.queues},
        life=settings.task_life,
        ledger=Registered(submits, lease=settings.worker_lease),
    )
    services = Services(
        storage_of(settings),
        partial(
            submit,
            children.admit,
            partial(ledger.run_transaction, submits),
            dispatcher,
            hooks,
            tracer=exports.tracer,
        ),
        database,
        allowance(settings.max_memory_per_child_mb, plan.processes),
        Path(plan.temp_dir),
        Webhooks(partial(ledger.run_transaction, submits), skills.cipher),
        LedgerMarks(partial(ledger.run_transaction, submits)),
        Upkeep(partial(ledger.run_transaction, submits), dispatcher),
        NO_ATTRIBUTES if spans is None else spans,
    )
    wear = Wear(
        memory_mb=settings.max_memory_per_child_mb,
        descriptors=settings.max_descriptors_per_child,
        threads=settings.max_threads_per_child,
        most=keep_reserve(),
    )
    leftovers = Leftovers(metrics.program_left)
    runner = Runner(skills, services, table, writer, hooks, loop, wear, leftovers)
    broker = ChildBroker(consumer.next_message)
    dramatiq.actor(actor_name=ACTOR, queue_name=LANES, broker=broker)(runner.run)
    threads = Worker(broker, worker_threads=plan.threads, worker_timeout=_IDLE_MILLISECONDS)
    detach_copies(slots.detach, writer.detach, loop.detach)
    engines = [engine, submits, database]
    return Child(
        Parts(
            slots, table, dispatcher, writer, consumer, slowed, threads, loop, metrics, hooks, wear, leftovers, engines
        ),
        max_tasks=settings.max_tasks_per_child,
    )


def _task_database(settings: Settings, plan: Plan, loop: EventLoop) -> TaskDatabase | NoTaskDatabase:
    if settings.task_database_url is None:
        return NoTaskDatabase()
    return TaskDatabase(
        settings.task_database_url.get_secret_value(),
        f"taskyard-task {plan.label}",
        settings.db_statement_timeout,
        loop,
        threads=plan.threads,
        coroutines=COROUTINES,
    )
