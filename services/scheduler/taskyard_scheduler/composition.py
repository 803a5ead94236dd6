"""The composition root: builds all parts of the scheduler and runs them."""

# ruff: noqa: PLW0108 - the work of a job is looked up when it runs, because its parts are made after the list of jobs

from __future__ import annotations

import os
import socket
from datetime import timedelta

import structlog

from taskyard import failpoints, garbage
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue.secrets import Cipher
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.workers import ensure_queues
from taskyard.settings import Settings
from taskyard.store.ledger import engine_of, is_pooled
from taskyard.telemetry.exports import NO_EXPORTS, Exports, start_exports
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging
from taskyard.telemetry.metrics import Metrics

from .application_relay import LISTEN_TIMEOUT, ApplicationLoop, ApplicationRelay
from .application_relay import LOOP as APPLICATIONS
from .broker_probe import BrokerProbe
from .database_watch import DatabaseWatch
from .depth import PATIENCE, Depth
from .jobs import LEDGER, REDIS, Dependencies, IntervalJobs, Job, names_of
from .leader import Leadership, clock
from .loop_watch import LoopWatch
from .maintenance import BrokerInfo, Maintenance
from .metrics import BrokerMetrics, DepthMetrics, ScheduleMetrics, SchedulerMetrics
from .promotion import LOOP as PROMOTION
from .promotion import Promotion, PromotionLoop
from .queued_tasks import QueuedTasks
from .rebuild import Rebuild
from .reconcile import Reconcile
from .relay import Relay
from .rescue import Rescue
from .retention import Retention
from .samples import Samples
from .scheduler import Scheduler
from .schedules import LOOP as SCHEDULES
from .schedules import ScheduleLoop, Schedules, StandingSchedules
from .statistics import Statistics
from .stop_signals import StopSignals

log = structlog.stdlib.get_logger(__name__)

JOBS = "jobs"


def serve(settings: Settings) -> int:
    """Runs the scheduler in this process until a signal arrives; returns the exit code.

    Raises MetricsPortTaken, and SecretsUnreadable and ExportsMisconfigured for a wrong setting.
    """
    signals = StopSignals()
    set_up_logging("scheduler", level=settings.log_level, style=settings.log_format)
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    metrics = Metrics("scheduler")
    server = metrics.serve(settings.metrics_host, settings.metrics_port)
    heartbeat = Heartbeat("scheduler", settings.health_file)
    exports = start_exports("scheduler", settings)
    scheduler = compose(settings, metrics, exports)
    leadership = scheduler.leadership
    log.info("scheduler_started", holder=str(leadership.holder), name=leadership.name, metrics=server.url)
    scheduler.start()
    garbage.started()
    try:
        return scheduler.lead(heartbeat, signals)
    finally:
        signals.close()
        scheduler.stop()
        server.stop()
        heartbeat.remove()
        exports.stop()
        log.info("scheduler_stopped")


def compose(settings: Settings, telemetry: Metrics, exports: Exports = NO_EXPORTS) -> Scheduler:
    """Touches no server: engines and clients connect when they are first used."""
    # The jobs. Pools are sized from this list, so the parts that do the work follow below.
    jobs = [
        Job("tick", 1.0, lambda: _tick(loops, metrics), leader_only=False),
        Job("contact", 0.5, lambda: probe.turn(), leader_only=False),
        Job("queues", 60.0, lambda: leadership.write(lambda conn: ensure_queues(conn, settings.queues)), {LEDGER}),
        Job("rebuild", 1.0, lambda: rebuild.turn(), {LEDGER, REDIS}),
        Job("relay", 1.0, lambda: relay.turn(), {LEDGER}),
        # Within a second of the end of a lease, with its transaction.
        Job("rescue", 0.5, lambda: rescue.turn(), {LEDGER}),
        Job("missing", 2.0, lambda: reconcile.turn(), {LEDGER, REDIS}),
        Job("depth", 5.0, lambda: depth.turn(), {LEDGER}),
        # One sample a minute is kept. A job of their own would hold a connection of its own.
        Job("statistics", 5.0, lambda: _count(statistics, samples), {LEDGER}),
        Job("broker", 5.0, lambda: broker.turn(), {REDIS}),
        Job("maintenance", 10.0, lambda: maintenance.turn(), {LEDGER, REDIS}),
        Job("standing_schedules", 5.0, lambda: standing.turn(), {LEDGER}),
        Job("retention", 3600.0, lambda: retention.turn(), {LEDGER}),
    ]

    # Servers
    redis_url, lease = settings.redis_url.get_secret_value(), timedelta(seconds=settings.leader_lease_seconds)
    worker_lease = settings.worker_lease
    engine = engine_of(
        settings,
        "taskyard-scheduler",
        serves=[PROMOTION, APPLICATIONS, SCHEDULES, "dispatcher", *names_of(jobs, LEDGER)],
    )
    lease_engine = engine_of(
        settings,
        "taskyard-scheduler lease",
        serves=["campaign"],
        statement_timeout=lease / 2,
        connect_timeout=lease / 2,
    )
    listen_engine = engine_of(
        settings,
        "taskyard-scheduler listen",
        serves=["commits"],
        url=settings.listen_url,
        statement_timeout=LISTEN_TIMEOUT,
        connect_timeout=LISTEN_TIMEOUT,
    )
    # A pooler takes LISTEN and passes no notification on.
    listens = None if is_pooled((settings.listen_url or settings.database_url).get_secret_value()) else listen_engine
    telemetry.watch_pool(engine, lease_engine)
    names = Names(settings.namespace)
    client = make_redis(redis_url, max_connections=len([PROMOTION, *names_of(jobs, REDIS)]))
    publisher = make_publisher(redis_url, names)

    # Leadership, metrics, and what the jobs share
    database = DatabaseWatch(pause=worker_lease, clock=clock)
    name = f"{socket.gethostname()}:{os.getpid()}"
    timed = telemetry.transactions("probe")["probe"].time
    leadership = Leadership(lease_engine, engine, database, name=name, lease=lease, timed=timed)
    metrics = SchedulerMetrics(telemetry, leadership)
    depth_metrics = DepthMetrics(telemetry, settings.queues, leadership)
    dependencies = Dependencies(telemetry.dependency("database"), telemetry.dependency("redis"))
    dispatcher = Dispatcher(engine, publisher)
    loops = LoopWatch((JOBS, PROMOTION, APPLICATIONS, SCHEDULES))
    probe = BrokerProbe(publisher.client, dependencies.broker)

    # The leader's work
    tasks = QueuedTasks(client, names)
    applications = ApplicationRelay(leadership, publisher, database, metrics)
    relay = Relay(leadership, publisher, database, metrics, also=applications.standing)
    rebuild = Rebuild(leadership, publisher, database, tasks, metrics, dependencies.broker)
    reconcile = Reconcile(
        leadership,
        dispatcher,
        database,
        tasks,
        metrics,
        wait_for=lambda: relay.backlog or applications.backlog or rebuild.is_needed,
    )
    rescue = Rescue(
        leadership,
        dispatcher,
        database,
        metrics,
        lease=worker_lease,
        crash_limit=settings.crash_limit,
        reports=exports.reports,
    )
    patience = min(PATIENCE, settings.db_statement_timeout / 2)
    depth = Depth(leadership, depth_metrics, lease=worker_lease, patience=patience)
    maintenance = Maintenance(leadership, client, names, settings.queues, silence=worker_lease)
    broker = BrokerInfo(client, BrokerMetrics(telemetry, leadership), on_restart=maintenance.search_soon)
    promotion = PromotionLoop(
        Promotion(leadership, dispatcher, metrics), leadership, client, names.wake_scheduler, loops, dependencies
    )
    cipher = Cipher([key.get_secret_value() for key in settings.secret_keys])
    standing = StandingSchedules(
        leadership, cipher, life=settings.task_life, lease=worker_lease, is_on=settings.standing_schedules
    )
    schedules = Schedules(
        leadership,
        dispatcher,
        ScheduleMetrics(telemetry),
        grace=settings.misfire_grace,
        lease=worker_lease,
        tracer=exports.tracer,
    )
    statistics, samples, retention = (
        Statistics(leadership, database),
        Samples(leadership, lease=worker_lease),
        Retention(leadership, lease=worker_lease, fires_kept=settings.fires_kept),
    )
    return Scheduler(
        leadership=leadership,
        dispatcher=dispatcher,
        promotion=promotion,
        applications=ApplicationLoop(applications, leadership, listens, loops, dependencies),
        schedules=ScheduleLoop(schedules, leadership, loops, dependencies, exports.reports),
        jobs=IntervalJobs(jobs, leadership, dependencies, exports.reports),
        probe=probe,
        loops=loops,
        database=dependencies.database,
        engines=(engine, lease_engine, listen_engine),
        clients=(client, publisher.client),
    )


def _tick(loops: LoopWatch, metrics: SchedulerMetrics) -> None:
    loops.turned(JOBS)
    metrics.last_tick.set_to_current_time()


def _count(statistics: Statistics, samples: Samples) -> None:
    statistics.turn()
    samples.turn()
