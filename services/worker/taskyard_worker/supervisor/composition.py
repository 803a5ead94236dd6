"""The composition root of the supervisor process."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from taskyard import failpoints, garbage
from taskyard.backoff import spread
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.settings import Settings, is_production
from taskyard.store.ledger import engine_of
from taskyard.store.sqlstates import Meaning, meaning
from taskyard.telemetry.exports import start_exports
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging

from ..child.fetcher import requeue_fetched
from ..memory import OomKills
from ..programs import adopt_orphans
from ..temp_dirs import TempDirs
from .autoscale import Autoscale
from .brakes import Brakes
from .children import Children
from .claims import WorkerClaims
from .enforcer import Enforcer
from .listener import Listener
from .metrics import SupervisorMetrics
from .orphans import Orphans
from .pool import ChildPool
from .recorder import Recorder
from .registration import Registration
from .requests import Requests
from .starter import Starter, template_plan
from .starting import Begun
from .supervisor import Supervisor
from .template import Template
from .types import TypeReports

log = structlog.stdlib.get_logger(__name__)

# The threads that use PostgreSQL, with one connection each. (The main thread registers before these start.)
LEDGER_THREADS = ("recorder", "dispatcher")
_REGISTER_SECONDS = 1.0
_STOP_SECONDS = 10.0


def serve(settings: Settings, overrides: dict[str, Any], first: Begun | None) -> int:
    """Runs the worker in this process until a signal ends it; returns the exit code. `first`: the first template, where
    children are to be forked.

    Imports no task code: children and their template do, and report what they found. Raises MetricsPortTaken and
    ExportsMisconfigured.
    """
    set_up_logging("worker", level=settings.log_level, style=settings.log_format)
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    if is_production(settings.app_env) and settings.task_database_url is None:
        log.warning("no_task_database", says="TASKYARD_TASK_DATABASE_URL is not set: tasks that call context.db() fail")
    queues = settings.worker_queues or settings.queues
    redis_url, names = settings.redis_url.get_secret_value(), Names(settings.namespace)
    with ExitStack() as closing:
        name, patience = "taskyard-worker supervisor", timedelta(seconds=10)
        engine = engine_of(settings, name, serves=LEDGER_THREADS, statement_timeout=patience)
        closing.callback(engine.dispose)
        exports = start_exports("worker", settings, traces=False)
        closing.callback(exports.stop)
        metrics = SupervisorMetrics(settings, queues)
        closing.callback(metrics.stop)
        metrics.metrics.watch_pool(engine)
        health = Heartbeat("worker", settings.health_file)
        closing.callback(health.remove)
        temp_dirs = TempDirs(settings.temp_dir)
        closing.callback(temp_dirs.close)
        publisher = make_publisher(redis_url, names)
        dispatcher = Dispatcher(engine, publisher)
        requests = Requests()
        children = Children()
        registration = Registration(engine, settings, queues=queues, announce=publisher.announce_types)
        processes = settings.worker_processes
        scale = Autoscale(minimum=processes.minimum, maximum=processes.maximum, threads=settings.worker_threads)
        template = Template(
            partial(template_plan, registration, children, overrides),
            is_on=settings.worker_children == "fork",
            start_seconds=settings.child_start_seconds,
            first=first,
        )
        starter = Starter(
            template,
            registration,
            children,
            scale,
            threads=settings.worker_threads,
            overrides=overrides,
            environment=metrics.environment,
            start_seconds=settings.child_start_seconds,
            temp_dirs=temp_dirs,
        )
        pool = ChildPool(scale, children, template, starter.start)
        recorder = Recorder(
            registration,
            WorkerClaims(
                engine,
                dispatcher,
                metrics,
                registration,
                children,
                requests,
                pool,
                crash_limit=settings.crash_limit,
                reports=exports.reports,
            ),
            heartbeat_seconds=settings.heartbeat_seconds,
            requeue_fetched=partial(requeue_fetched, make_redis(redis_url), names, queues),
            database=metrics.metrics.dependency("database"),
        )
        brakes = Brakes(children, metrics.ended_by_task)
        supervisor = Supervisor(
            registration,
            requests,
            children,
            recorder,
            Enforcer(
                grace_seconds=settings.cancel_grace_seconds, record=recorder.forced, blame=brakes.ended_its_process
            ),
            template,
            pool,
            TypeReports(registration, recorder, metrics),
            brakes,
            Orphans(metrics.program_left, lambda: template.pids),
            temp_dirs,
            OomKills(on_kills=metrics.killed_for_memory),
            drain_seconds=settings.drain_seconds,
            on_exit=metrics.child_ended,
            on_retired=metrics.child_retired,
            on_turn=health.beat,
        )
        listener = Listener(
            redis_url, names, registration, concerns=children.hold_any, look=recorder.look, pass_on=requests.pass_on
        )
        requests.handle_signals()
        temp_dirs.open()
        adopt_orphans()
        if not _register(registration, requests, health):
            return 0
        for part in (dispatcher, recorder, listener):
            part.start()
        log.info("worker_started", worker=registration.name, queues=list(queues), processes=str(processes))
        garbage.started()
        try:
            return supervisor.run()
        finally:
            listener.stop()
            recorder.stop(_STOP_SECONDS)
            dispatcher.stop()
            log.info("worker_stopped", worker=registration.name)


def _register(registration: Registration, requests: Requests, health: Heartbeat) -> bool:
    """Waits for PostgreSQL and its tables; False where a signal came first."""
    while not requests.is_stopping:
        health.beat(True, "it waits for PostgreSQL")
        try:
            registration.register()
            return True
        except LedgerUnavailable as e:
            log.warning("ledger_unavailable", what="register", error=str(e))
        except DBAPIError as e:
            if meaning(e) is not Meaning.NOT_MIGRATED:
                raise
            log.warning("ledger_not_migrated")
        time.sleep(spread(_REGISTER_SECONDS))
    return False
