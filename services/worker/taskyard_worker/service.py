"""Builds the supervisor's parts and runs it."""

from __future__ import annotations

import random
import signal
import time
from datetime import timedelta
from typing import Any

import structlog

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.catalogue import types as catalogue_types
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.settings import Settings
from taskyard.store import engine as ledger
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging

from .metrics import SupervisorMetrics
from .recorder import Recorder
from .supervisor import Supervisor

log = structlog.stdlib.get_logger(__name__)

_REGISTER_PAUSE_SECONDS = 1.0


def serve(settings: Settings, overrides: dict[str, Any]) -> int:
    """Runs the worker in this process until a signal ends it; returns the exit code."""
    set_up_logging("worker", level=settings.log_level, style=settings.log_format)
    queues = settings.worker_queues or settings.queues
    catalogue = catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
    engine = ledger.make_engine(
        settings.database_url.get_secret_value(),
        pool_size=2,
        statement_timeout=timedelta(seconds=10),
        application_name="taskyard-worker supervisor",
    )
    client = make_redis(settings.redis_url.get_secret_value(), max_connections=4)
    dispatcher = Dispatcher(engine, Publisher(client, Names(settings.namespace)))
    heartbeat = Heartbeat("worker", settings.health_file)
    metrics = SupervisorMetrics.start(settings, catalogue, queues)
    supervisor = Supervisor(
        processes=settings.worker_processes,
        threads=settings.worker_threads,
        queues=queues,
        overrides=overrides,
        drain_seconds=settings.drain_seconds,
        spawn_environment=metrics.environment,
        on_exit=metrics.child_ended,
        on_turn=heartbeat.touch,
    )
    supervisor.recorder = Recorder(
        engine,
        dispatcher,
        settings,
        queues=queues,
        task_types=catalogue.names,
        standing=supervisor.standing,
        claims=supervisor.claims,
        given_up=supervisor.give_up,
        counts=metrics,
    )
    if not _register(supervisor.recorder, heartbeat):
        return 0
    dispatcher.start()
    supervisor.recorder.start()
    log.info(
        "worker_started", worker=supervisor.recorder.name, queues=list(queues), processes=supervisor.processes
    )
    try:
        return supervisor.run()
    finally:
        supervisor.recorder.stop(timeout=10.0)
        dispatcher.stop()
        engine.dispose()
        heartbeat.remove()
        metrics.stop()
        log.info("worker_stopped", worker=supervisor.recorder.name)


def _register(recorder: Recorder, heartbeat: Heartbeat) -> bool:
    """Waits for PostgreSQL; False where a signal came first."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: stopped.append(n))
    while not stopped:
        heartbeat.touch()
        try:
            recorder.register()
            return True
        except LedgerUnavailable as e:
            log.warning("ledger_unavailable", what="register", error=str(e))
            time.sleep(_REGISTER_PAUSE_SECONDS * random.uniform(0.5, 1.0))
    return False
