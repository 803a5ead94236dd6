"""Builds the scheduler's parts and runs them."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from taskyard import failpoints
from taskyard.broker.connect import make_redis
from taskyard.catalogue import types as catalogue_types
from taskyard.catalogue.types import Catalogue
from taskyard.domain.errors import LedgerUnavailable
from taskyard.settings import Settings
from taskyard.store.ledger import make_engine
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.logging import set_up_logging
from taskyard.telemetry.metrics import Metrics

from .ground import Ground
from .jobs import Work
from .leader import ASK_SECONDS, Leadership, clock

log = structlog.stdlib.get_logger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_STUCK_SECONDS = 15.0
_LATE_SECONDS = 5.0
_AWAY_SECONDS = 0.5


def serve(settings: Settings) -> int:
    """Runs the scheduler in this process until a signal ends it; returns the exit code.

    Raises MetricsPortTaken.
    """
    bell = Bell()
    set_up_logging("scheduler", level=settings.log_level, style=settings.log_format)
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    # A job that is still busy when it is due again is skipped, which is as it should be.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    metrics = Metrics("scheduler")
    server = metrics.serve(settings.metrics_host, settings.metrics_port)
    heartbeat = Heartbeat("scheduler", settings.health_file)
    lease = timedelta(seconds=settings.leader_lease_seconds)
    url = settings.database_url.get_secret_value()
    engine = make_engine(
        url,
        pool_size=settings.db_pool_size,
        statement_timeout=timedelta(seconds=settings.db_statement_timeout_seconds),
        application_name="taskyard-scheduler",
    )
    lease_engine = make_engine(
        url,
        pool_size=1,
        statement_timeout=lease / 2,
        connect_timeout=lease / 2,
        application_name="taskyard-scheduler lease",
    )
    client = make_redis(settings.redis_url.get_secret_value(), max_connections=settings.redis_max_connections)
    metrics.watch_pool(engine, lease_engine)
    ground = Ground(pause=timedelta(seconds=settings.worker_lease_seconds), clock=clock)
    name = f"{socket.gethostname()}:{os.getpid()}"
    leadership = Leadership(lease_engine, engine, ground, name=name, lease=lease)
    work = Work(settings, engine, client, leadership, ground, metrics, _catalogue(settings))
    log.info("scheduler_started", holder=str(leadership.holder), name=name, metrics=server.url)
    work.start()
    try:
        return _lead(leadership, work, heartbeat, bell)
    finally:
        bell.close()
        work.stop()
        server.stop()
        client.close()
        engine.dispose()
        lease_engine.dispose()
        heartbeat.remove()
        log.info("scheduler_stopped")


class Bell:
    """SIGTERM and SIGINT as something to wait for: a handler could interrupt the main thread in the middle of
    anything, with any lock in its hands.

    `signal.sigtimedwait` is no way: a process that was stopped for longer than the wait gets a signal made up
    from uninitialised memory (seen with CPython 3.11).
    """

    def __init__(self) -> None:
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        signal.set_wakeup_fd(self._rope.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float) -> str | None:
        """The name of the signal that came, or None when the time is over."""
        ready, _, _ = select.select([self._bell], [], [], max(0.0, seconds))
        rung = self._bell.recv(64) if ready else b""
        return next((signal.Signals(number).name for number in rung if number in _SIGNALS), None)

    def close(self) -> None:
        """From now on a second signal ends the process at once."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._bell.close()
        self._rope.close()


def _lead(leadership: Leadership, work: Work, heartbeat: Heartbeat, bell: Bell) -> int:
    """The main thread: keeps the lease or waits for it, until a signal comes."""
    code = 0
    ask_at, epoch = 0.0, None
    while True:
        stuck = work.stuck(after_seconds=_STUCK_SECONDS)
        if stuck is not None:
            # Somebody else should lead, and this process should be started anew.
            log.critical("scheduler_stuck", loop=stuck)
            code = 1
            break
        heartbeat.touch()
        if time.monotonic() >= ask_at:
            try:
                ticks = work.stuck(after_seconds=_LATE_SECONDS) is None
                pause = leadership.campaign(ticks=ticks, reaches_broker=work.contact.reaches)
                work.database.answered()
            except (LedgerUnavailable, DBAPIError) as e:
                # Tables that are not there yet, or a right that is missing: who mends it need not start us again.
                work.database.failed(e)
                pause = _AWAY_SECONDS
            ask_at = time.monotonic() + pause
            term = leadership.term
            if term is not None and term.epoch != epoch:
                epoch = term.epoch
                work.begin()
        rung = bell.wait(min(ASK_SECONDS, ask_at - time.monotonic()))
        if rung is not None:
            log.info("scheduler_stopping", signal=rung)
            break
    try:
        # Before anything else is stopped: a standby asks every second.
        leadership.resign()
    except (LedgerUnavailable, DBAPIError) as e:
        log.warning("not_resigned", error=str(e))
    return code


def _catalogue(settings: Settings) -> Catalogue:
    """Only for the names in the metrics: task types of packages that are not installed here count as
    `_other`."""
    try:
        return catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
    except Exception as e:  # noqa: BLE001 - whatever a task module raises: names in metrics are not worth the leader
        say = log.info if isinstance(e, ImportError) else log.warning
        say("task_modules_not_here", error=f"{type(e).__name__}: {e}")
        return catalogue_types.load((), diagnostics=settings.diagnostics)
