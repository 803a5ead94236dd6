"""Runs the scheduler in this process."""

from __future__ import annotations

import structlog

from taskyard import failpoints
from taskyard.settings import Settings
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging
from taskyard.telemetry.metrics import Metrics

from .composition import compose
from .stop_signals import StopSignals

log = structlog.stdlib.get_logger(__name__)


def serve(settings: Settings) -> int:
    """Leads or stands by until a signal arrives; returns the exit code.

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
