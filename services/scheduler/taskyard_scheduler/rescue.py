"""Rescue: tasks of lost workers are queued again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial

import structlog

from taskyard.domain.tasks import Change, State
from taskyard.lifecycle import rescue
from taskyard.lifecycle.committed import commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.store.final_failures import report_failures
from taskyard.telemetry.reports import NO_REPORTS, Reports

from .database_watch import DatabaseWatch
from .leader import Leadership
from .metrics import SchedulerMetrics

log = structlog.stdlib.get_logger(__name__)

_BATCH = 1000


class Rescue:
    """Marks workers whose heartbeat is overdue as lost, then ends the attempts of all claims without a live worker.

    The second step compares all running rows with all live workers and does not depend on the first. So the next pass
    finishes one that was cut off, under any leader.
    """

    def __init__(
        self,
        leadership: Leadership,
        dispatcher: Dispatcher,
        database: DatabaseWatch,
        metrics: SchedulerMetrics,
        *,
        lease: timedelta,
        crash_limit: int,
        reports: Reports = NO_REPORTS,
    ) -> None:
        self._leadership = leadership
        self._dispatcher = dispatcher
        self._database = database
        self._metrics = metrics
        self._lease = lease
        self._crash_limit = crash_limit
        self._reports = reports

    def turn(self) -> None:
        if not self._leadership.read(self._database.is_settled):
            return
        workers = self._leadership.write(lambda conn: rescue.lost_workers(conn, lease=self._lease))
        changes: list[Change] = []
        try:
            self._rescue(changes)
        finally:  # what was committed counts, also where the lease is lost before the next batch
            self._tell([name for _, name in workers], Counter(change.state for change in changes))
            report_failures(self._reports, self._leadership.read, changes)

    def _rescue(self, changes: list[Change]) -> None:
        """Adds to `changes` what it commits."""
        while self._leadership.leading:
            orphans = self._leadership.read(lambda conn: rescue.orphans(conn, limit=_BATCH))
            if not orphans:
                break
            lose = partial(rescue.lose, lost=orphans, crash_limit=self._crash_limit)
            moved = commit(self._leadership.write, lose, self._dispatcher, name="rescue")
            changes += moved
            if len(orphans) < _BATCH or not moved:
                break

    def _tell(self, workers: list[str], moved: Counter[State]) -> None:
        self._metrics.recovered["worker_lost"].inc(moved.total())
        self._metrics.dead_lettered["crash_limit"].inc(moved[State.FAILED])
        if workers or moved:
            log.warning(
                "rescue_pass",
                workers_lost=workers,
                tasks_queued=moved[State.QUEUED],
                tasks_failed=moved[State.FAILED],
                tasks_cancelled=moved[State.CANCELLED],
            )
