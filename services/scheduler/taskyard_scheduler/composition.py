"""The composition root: builds all parts of the scheduler and runs them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from taskyard import failpoints
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue import types as catalogue_types
from taskyard.catalogue.types import Catalogue
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.workers import ensure_queues
from taskyard.settings import Settings
from taskyard.store.engines import engine_of
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging
from taskyard.telemetry.metrics import Metrics

from .broker_probe import BrokerProbe
from .database_watch import DatabaseWatch
from .depth import Depth
from .jobs import IntervalJobs, Job
from .leader import Leadership, clock
from .leader_job import Dependencies
from .loop_watch import LoopWatch
from .maintenance import BrokerWatch, Maintenance
from .metrics import BrokerMetrics, DepthMetrics, SchedulerMetrics
from .promotion import LOOP as PROMOTION
from .promotion import Promotion, PromotionLoop
from .queued_tasks import QueuedTasks
from .rebuild import Rebuild
from .reconcile import Reconcile
from .relay import Relay
from .rescue import Rescue
from .retention import Retention
from .scheduler import Scheduler
from .stop_signals import StopSignals
from .throughput import Throughput

log = structlog.stdlib.get_logger(__name__)

JOBS = "jobs"
LEDGER, REDIS = "ledger", "redis"
# Of each job: the seconds between two turns, and the servers that it asks with a connection of its own.
TIMETABLE: dict[str, tuple[float, set[str]]] = {
    "tick": (1.0, set()),
    "contact": (0.5, set()),
    "queues": (60.0, {LEDGER}),
    "rebuild": (1.0, {LEDGER, REDIS}),
    "relay": (1.0, {LEDGER}),
    "rescue": (1.0, {LEDGER}),
    "missing": (2.0, {LEDGER, REDIS}),
    "depth": (5.0, {LEDGER}),
    "throughput": (5.0, {LEDGER}),
    "broker": (5.0, {REDIS}),
    "maintenance": (10.0, {LEDGER, REDIS}),
    "retention": (3600.0, {LEDGER}),
}
LEDGER_USERS = (PROMOTION, "dispatcher", *(name for name, (_, uses) in TIMETABLE.items() if LEDGER in uses))
REDIS_USERS = (PROMOTION, *(name for name, (_, uses) in TIMETABLE.items() if REDIS in uses))


def serve(settings: Settings) -> int:
    """Runs the scheduler in this process until a signal arrives; returns the exit code.

    Raises MetricsPortTaken.
    """
    signals = StopSignals()
    set_up_logging("scheduler", level=settings.log_level, style=settings.log_format)
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    metrics = Metrics("scheduler")
    server = metrics.serve(settings.metrics_host, settings.metrics_port)
    heartbeat = Heartbeat("scheduler", settings.health_file)
    scheduler = compose(settings, metrics)
    leadership = scheduler.leadership
    log.info("scheduler_started", holder=str(leadership.holder), name=leadership.name, metrics=server.url)
    scheduler.start()
    try:
        return scheduler.lead(heartbeat, signals)
    finally:
        signals.close()
        scheduler.stop()
        server.stop()
        heartbeat.remove()
        log.info("scheduler_stopped")


def compose(settings: Settings, telemetry: Metrics) -> Scheduler:
    """Touches no server: engines and clients connect when they are first used."""
    # Servers
    redis_url, lease = settings.redis_url.get_secret_value(), timedelta(seconds=settings.leader_lease_seconds)
    worker_lease = settings.worker_lease
    engine = engine_of(settings, "taskyard-scheduler", serves=LEDGER_USERS)
    lease_engine = engine_of(
        settings,
        "taskyard-scheduler lease",
        serves=["campaign"],
        statement_timeout=lease / 2,
        connect_timeout=lease / 2,
    )
    telemetry.watch_pool(engine, lease_engine)
    names = Names(settings.namespace)
    client = make_redis(redis_url, max_connections=len(REDIS_USERS))
    publisher = make_publisher(redis_url, names)

    # Leadership, metrics, and what the jobs share
    database = DatabaseWatch(pause=worker_lease, clock=clock)
    name = f"{socket.gethostname()}:{os.getpid()}"
    leadership = Leadership(lease_engine, engine, database, name=name, lease=lease)
    metrics = SchedulerMetrics(telemetry, leadership)
    depth_metrics = DepthMetrics(telemetry, load_catalogue(settings), settings.queues, leadership)
    dependencies = Dependencies(telemetry.dependency("database"), telemetry.dependency("redis"))
    dispatcher = Dispatcher(engine, publisher)
    loops = LoopWatch((JOBS, PROMOTION))
    probe = BrokerProbe(publisher.client)

    # The leader's work
    tasks = QueuedTasks(client, names)
    relay = Relay(leadership, publisher, database, metrics)
    rebuild = Rebuild(leadership, publisher, database, tasks, metrics, dependencies.broker)
    reconcile = Reconcile(
        leadership, dispatcher, database, tasks, metrics, wait_for=lambda: relay.backlog or rebuild.is_needed
    )
    rescue = Rescue(leadership, dispatcher, database, metrics, lease=worker_lease, crash_limit=settings.crash_limit)
    depth = Depth(leadership, depth_metrics, lease=worker_lease)
    maintenance = Maintenance(leadership, client, names, settings.queues, silence=worker_lease)
    broker = BrokerWatch(client, BrokerMetrics(telemetry, leadership), on_restart=maintenance.search_soon)
    promotion = PromotionLoop(
        Promotion(leadership, dispatcher, metrics), leadership, client, names.wake_scheduler, loops, dependencies
    )
    work: dict[str, Callable[[], object]] = {
        "tick": partial(_tick, loops, metrics),
        "contact": probe.turn,
        "queues": lambda: leadership.write(lambda conn: ensure_queues(conn, settings.queues)),
        "rebuild": rebuild.turn,
        "relay": relay.turn,
        "rescue": rescue.turn,
        "missing": reconcile.turn,
        "depth": depth.turn,
        "throughput": Throughput(leadership, database).turn,
        "broker": broker.turn,
        "maintenance": maintenance.turn,
        "retention": Retention(leadership).turn,
    }
    standby_too = {"tick", "contact"}
    jobs = [Job(name, TIMETABLE[name][0], do, leader_only=name not in standby_too) for name, do in work.items()]
    return Scheduler(
        leadership=leadership,
        dispatcher=dispatcher,
        promotion=promotion,
        jobs=IntervalJobs(jobs, leadership, dependencies),
        probe=probe,
        loops=loops,
        database=dependencies.database,
        engines=(engine, lease_engine),
        clients=(client, publisher.client),
    )


def _tick(loops: LoopWatch, metrics: SchedulerMetrics) -> None:
    loops.turned(JOBS)
    metrics.last_tick.set_to_current_time()


def load_catalogue(settings: Settings) -> Catalogue:
    """Only for names in metrics: task types of packages that are not installed here count as `_other`."""
    try:
        return catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
    except Exception as e:  # noqa: BLE001 - a task module may raise anything, and only names in metrics depend on it
        say = log.info if isinstance(e, ImportError) else log.warning
        say("task_modules_not_here", error=f"{type(e).__name__}: {e}")
        return catalogue_types.load((), diagnostics=settings.diagnostics)
