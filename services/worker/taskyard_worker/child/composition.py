"""The composition root of a child process."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from uuid import UUID

import dramatiq
from dramatiq import Worker

from taskyard.broker.names import ACTOR, LANES, Names
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
from taskyard.telemetry.exports import NO_EXPORTS, Exports

from ..control import Plan
from ..memory import allowance
from ..metrics import WorkerMetrics
from ..quarantine.consumer import SuspectConsumer
from ..slots import SlotTable
from .broker import ChildBroker
from .child import Child, Parts
from .claim_table import ClaimTable
from .claims import Holder, LedgerClaims
from .connections import Connections
from .consumer import TaskConsumer
from .copies import detach_copies
from .event_loop import EventLoop
from .failures import Failures
from .fetcher import Fetcher
from .leftovers import Leftovers
from .run_log import run_log
from .run_spans import RunSpans
from .runner import Runner
from .skills import Skills
from .slowed import Slowed
from .submitter import submit
from .task_database import NoTaskDatabase, TaskDatabase
from .wear import Wear, keep_reserve
from .writer import Writer

# `context.db()` of tasks, under a role of their own: one connection for each thread, and four that all coroutines
# share. Those wait for one on the event loop, which costs nothing.
COROUTINES = 4
_IDLE_MILLISECONDS = 500


def compose(
    plan: Plan,
    settings: Settings,
    skills: Skills,
    connections: Connections,
    slots: SlotTable,
    exports: Exports = NO_EXPORTS,
) -> Child:
    """The parts of a child, wired; nothing runs yet."""
    names = Names(settings.namespace)
    engine, submits = connections.ledger, connections.submits
    loop = EventLoop()
    database = _task_database(settings, plan, loop)
    metrics = WorkerMetrics.of_child(skills.catalogue, plan.queues)
    metrics.metrics.watch_pool(engine, submits, more=database.engines)
    table = ClaimTable(slots, threads=plan.threads, async_types=skills.async_types)
    dispatcher = Dispatcher(engine, connections.publisher)
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
        fetcher = Fetcher(connections.fetching, names, plan.queues, plan.fetcher_id, lower_share=share)
        consumer = TaskConsumer(fetcher, table, claims, broker=metrics.metrics.dependency("redis"))
    spans = None if exports.tracer is None else RunSpans(exports.tracer)
    hooks = Hooks([*([] if spans is None else [spans]), run_log(), *skills.hooks], metrics.metrics)
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
        Upkeep(partial(ledger.run_transaction, submits), dispatcher, life=settings.task_life),
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
    dramatiq.actor(actor_name=ACTOR, queue_name=LANES, broker=broker)(runner.run_all)
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
