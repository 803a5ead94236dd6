"""Builds the supervisor's parts and runs it."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from taskyard import failpoints
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue import types as catalogue_types
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.settings import Settings
from taskyard.store import ledger
from taskyard.store.sqlstates import Meaning, meaning
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging

from .autoscale import Autoscale
from .enforcer import Enforcer
from .inbox import salvage
from .listener import Listener
from .metrics import SupervisorMetrics
from .recorder import Recorder
from .supervisor import Supervisor

log = structlog.stdlib.get_logger(__name__)

_REGISTER_PAUSE_SECONDS = 1.0


class Misconfigured(Exception):
    """The worker cannot start as it is told to: one line for people."""


def serve(settings: Settings, overrides: dict[str, Any]) -> int:
    """Runs the worker in this process until a signal ends it; returns the exit code.

    Raises Misconfigured and MetricsPortTaken.
    """
    set_up_logging("worker", level=settings.log_level, style=settings.log_format)
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    queues = settings.worker_queues or settings.queues
    try:
        catalogue = catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
    except Exception as e:  # whatever a task module raises at import
        raise Misconfigured(f"TASKYARD_TASK_MODULES: {type(e).__name__}: {' '.join(str(e).split())}") from e
    engine = ledger.make_engine(
        settings.database_url.get_secret_value(),
        pool_size=2,
        statement_timeout=timedelta(seconds=10),
        application_name="taskyard-worker supervisor",
    )
    redis_url, names = settings.redis_url.get_secret_value(), Names(settings.namespace)
    dispatcher = Dispatcher(engine, make_publisher(redis_url, names))
    heartbeat = Heartbeat("worker", settings.health_file)
    metrics = SupervisorMetrics.start(settings, catalogue, queues)
    metrics.metrics.watch_pool(engine)
    supervisor = Supervisor(
        scale=Autoscale(
            minimum=settings.worker_processes.minimum,
            maximum=settings.worker_processes.maximum,
            threads=settings.worker_threads,
        ),
        threads=settings.worker_threads,
        queues=queues,
        overrides=overrides,
        drain_seconds=settings.drain_seconds,
        enforcer=Enforcer(
            catalogue,
            grace_seconds=settings.cancel_grace_seconds,
            condemn=lambda verdict: supervisor.recorder.condemn(verdict),  # noqa: PLW0108 - it is made later
        ),
        spawn_environment=metrics.environment,
        on_exit=metrics.child_ended,
        on_turn=heartbeat.beat,
    )
    supervisor.recorder = Recorder(
        engine,
        dispatcher,
        settings,
        queues=queues,
        task_types=catalogue.names,
        worker=supervisor,
        counts=metrics,
        salvage=partial(salvage, make_redis(redis_url), names, queues),
        database=metrics.metrics.dependency("database"),
    )
    listener = Listener(redis_url, names, concerns=supervisor.holds, look=supervisor.recorder.look)
    supervisor.listen()
    try:
        if not _register(supervisor, heartbeat):
            return 0
        dispatcher.start()
        supervisor.recorder.start()
        listener.start()
        log.info(
            "worker_started",
            worker=supervisor.recorder.name,
            queues=list(queues),
            processes=str(settings.worker_processes),
        )
        try:
            return supervisor.run()
        finally:
            listener.stop()
            supervisor.recorder.stop(timeout=10.0)
            dispatcher.stop()
            log.info("worker_stopped", worker=supervisor.recorder.name)
    finally:
        engine.dispose()
        heartbeat.remove()
        metrics.stop()


def _register(supervisor: Supervisor, heartbeat: Heartbeat) -> bool:
    """Waits for PostgreSQL, and for its tables; False where a signal came first."""
    while not supervisor.is_stopping:
        heartbeat.beat(True, "it waits for PostgreSQL")
        try:
            supervisor.recorder.register()
            return True
        except LedgerUnavailable as e:
            log.warning("ledger_unavailable", what="register", error=str(e))
        except DBAPIError as e:
            if meaning(e) is not Meaning.NOT_MIGRATED:
                raise
            log.warning("ledger_not_migrated")
        time.sleep(_REGISTER_PAUSE_SECONDS * random.uniform(0.5, 1.0))
    return False
