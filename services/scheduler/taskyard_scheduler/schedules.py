"""Schedules: what is due becomes tasks.

A loop in its own thread. It looks at the cursors at least once a second, so what people change takes effect without any
wake-up, and sleeps until the next due time where that is sooner.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from taskyard.catalogue.secrets import Cipher
from taskyard.lifecycle.committed import commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.schedules import standing
from taskyard.schedules.firing import fire_due
from taskyard.telemetry.reports import NO_REPORTS, Reports

from .jobs import Dependencies, LeaderJob
from .leader import Leadership
from .loop_watch import LoopWatch
from .metrics import ScheduleMetrics

if TYPE_CHECKING:
    from taskyard.telemetry.spans import Tracer

log = structlog.stdlib.get_logger(__name__)

LOOP = "schedules"

_LONGEST_SLEEP_SECONDS = 1.0
# What is being edited at this moment is still due.
_SHORTEST_SLEEP_SECONDS = 0.02


class Schedules:
    """`grace`: how much later a due time may come without being missed; `lease`: of workers."""

    def __init__(
        self,
        leadership: Leadership,
        dispatcher: Dispatcher,
        metrics: ScheduleMetrics,
        *,
        grace: timedelta,
        lease: timedelta,
        tracer: Tracer | None = None,
    ) -> None:
        self._leadership = leadership
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._fire = partial(fire_due, grace=grace, lease=lease, tracer=tracer)

    def turn(self) -> float:
        """Fires what is due; returns the seconds until the next turn."""
        fire = partial(self._fire, led=self._leadership.led)
        fired = commit(self._leadership.write, fire, self._dispatcher, name="fire")
        self._metrics.count(fired)
        next_in = _LONGEST_SLEEP_SECONDS if fired.next_in is None else fired.next_in
        return min(max(next_in, _SHORTEST_SLEEP_SECONDS), _LONGEST_SLEEP_SECONDS)


class StandingSchedules:
    """Makes those that task types declare, each once; `life` is that of their tasks."""

    def __init__(
        self, leadership: Leadership, cipher: Cipher, *, life: timedelta, lease: timedelta, is_on: bool
    ) -> None:
        self._leadership = leadership
        self._is_on = is_on
        self._tried: dict[str, str] = {}
        self._make = partial(standing.make, cipher=cipher, life=life, lease=lease)

    def turn(self) -> None:
        for name, digest in self._leadership.read(standing.unmade) if self._is_on else ():
            if self._tried.get(name) == digest:
                continue  # no spec that this release takes: it was logged
            self._tried[name] = digest
            for made in self._leadership.write(partial(self._make, name=name)):
                log.info("standing_schedule_made", name=made, task_name=name)


class ScheduleLoop:
    """The thread. `loops` learns of every turn."""

    def __init__(
        self,
        schedules: Schedules,
        leadership: Leadership,
        loops: LoopWatch,
        dependencies: Dependencies,
        reports: Reports = NO_REPORTS,
    ) -> None:
        self._schedules = schedules
        self._loops = loops
        self._job = LeaderJob(LOOP, leadership, dependencies, reports=reports)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * _LONGEST_SLEEP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._loops.turned(LOOP)
            seconds = self._job.run(self._schedules.turn)
            # A standby looks often, so that a new leader loses no time.
            self._stopping.wait(max(0.1, self._job.pause_seconds) if seconds is None else seconds)
