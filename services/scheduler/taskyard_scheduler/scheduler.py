"""The scheduler's process: its main thread keeps the lease or waits for it, until a signal arrives."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.telemetry.heartbeat import Heartbeat
from taskyard.telemetry.metrics import Dependency

from .application_relay import ApplicationLoop
from .broker_probe import BrokerProbe
from .jobs import IntervalJobs
from .leader import ASK_SECONDS, Leadership
from .loop_watch import LoopWatch
from .promotion import PromotionLoop
from .schedules import ScheduleLoop
from .stop_signals import StopSignals

log = structlog.stdlib.get_logger(__name__)

_STUCK_SECONDS = 15.0
_LATE_SECONDS = 5.0
_AWAY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Scheduler:
    """All parts of the process (`composition.py`). On a standby the leader's jobs return at once."""

    leadership: Leadership
    dispatcher: Dispatcher
    promotion: PromotionLoop
    applications: ApplicationLoop
    schedules: ScheduleLoop
    jobs: IntervalJobs
    probe: BrokerProbe
    loops: LoopWatch
    database: Dependency
    engines: tuple[Engine, ...]
    clients: tuple[redis.Redis, ...]

    def start(self) -> None:
        self.dispatcher.start()
        self.promotion.start()
        self.applications.start()
        self.schedules.start()
        self.jobs.start()

    def stop(self) -> None:
        """Ends all loops. Jobs under way finish, unless they need the lease, which is gone by now."""
        self.jobs.stop()
        self.promotion.stop()
        self.applications.stop()
        self.schedules.stop()
        self.dispatcher.stop()
        for client in self.clients:
            client.close()
        for engine in self.engines:
            engine.dispose()

    def lead(self, heartbeat: Heartbeat, signals: StopSignals) -> int:
        """Leads or stands by until a signal arrives or a loop is stuck; returns the exit code."""
        code = self._keep_lease(heartbeat, signals)
        try:
            # Before anything else is stopped: a standby asks every second.
            self.leadership.resign()
        except (LedgerUnavailable, DBAPIError) as e:
            log.warning("not_resigned", error=str(e))
        return code

    def _keep_lease(self, heartbeat: Heartbeat, signals: StopSignals) -> int:
        ask_at, epoch = 0.0, None
        while True:
            stuck = self.loops.stuck(after_seconds=_STUCK_SECONDS)
            if stuck is not None:
                # Another process should lead, and this one has to be restarted.
                log.critical("scheduler_stuck", loop=stuck)
                return 1
            heartbeat.touch()
            if time.monotonic() >= ask_at:
                ask_at = time.monotonic() + self._campaign()
                term = self.leadership.term
                if term is not None and term.epoch != epoch:
                    epoch = term.epoch
                    self.jobs.run_now()
            signal = signals.wait(min(ASK_SECONDS, ask_at - time.monotonic()))
            if signal is not None:
                log.info("scheduler_stopping", signal=signal)
                return 0

    def _campaign(self) -> float:
        """Returns the seconds until the next try."""
        began = time.monotonic()
        try:
            ticks = self.loops.stuck(after_seconds=_LATE_SECONDS) is None
            pause = self.leadership.campaign(ticks=ticks, reaches_broker=self.probe.is_reachable)
        except (LedgerUnavailable, DBAPIError) as e:
            # Also tables that do not exist yet, or a missing right: once that is mended, no restart is needed.
            self.database.failed(e, began=began)
            return _AWAY_SECONDS
        self.database.answered()
        return pause
