"""Reconcile: single messages that Redis lost are published again. (`rebuild.py` is for the loss of many at once.)"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog
from prometheus_client import Gauge

from taskyard.domain.tasks import Publication
from taskyard.lifecycle.dispatch import Dispatcher

from .database_watch import DatabaseWatch
from .leader import Leadership
from .metrics import SchedulerMetrics
from .queued_tasks import PAGE, QueuedTasks, Walk

log = structlog.stdlib.get_logger(__name__)

# 10,000 rows a turn, a turn every two seconds: a walk through a million rows takes some three minutes.
_PAGES_A_TURN = 10
_SECOND_LOOK_SECONDS = 10.0
_MOST_SUSPECTS = 50_000
# A scraper that comes once a minute sees every loss.
_SHOWN_SECONDS = 60.0


class Unaccounted:
    """How many tasks were lost, as a metric and for the API: each number is shown for a minute at least, and until a
    walk that began after the last loss found no more."""

    def __init__(self, gauge: Gauge, tasks: QueuedTasks, clock: Callable[[], float]) -> None:
        self._gauge = gauge
        self._tasks = tasks
        self._clock = clock
        self._lost = 0
        self._lost_at = 0.0
        self._walk_began_after = False
        self._clean_at: float | None = None
        """When the first walk that began after the last loss ended."""

    def show(self, lost: int) -> None:
        self._lost, self._lost_at = lost, self._clock()
        self._walk_began_after, self._clean_at = False, None
        self._gauge.set(lost)
        self._tasks.tell_lost(lost)

    def add(self, lost: int) -> None:
        self.show(self._lost + lost)

    def walk_begins(self) -> None:
        self._walk_began_after = True

    def walk_ends(self) -> None:
        if self._walk_began_after and self._clean_at is None:
            self._clean_at = self._clock()

    def clear_if_over(self, suspected_at: Iterable[float]) -> None:
        """`suspected_at`: since when the present suspects have been suspects. The loss is over once the second look has
        cleared all suspects of the walk."""
        if not self._lost or self._clean_at is None or self._clock() < self._lost_at + _SHOWN_SECONDS:
            return
        if all(since > self._clean_at for since in suspected_at):
            self.show(0)


class Reconcile:
    """Publishes rows that have been queued for over 30 s, are in no outbox row, and whose message Redis does not hold
    at two looks at least ten seconds apart."""

    def __init__(
        self,
        leadership: Leadership,
        dispatcher: Dispatcher,
        database: DatabaseWatch,
        tasks: QueuedTasks,
        metrics: SchedulerMetrics,
        *,
        wait_for: Callable[[], bool],
        second_look_seconds: float = _SECOND_LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._dispatcher = dispatcher
        self._database = database
        self._metrics = metrics
        self._wait_for = wait_for
        self._second_look_seconds = second_look_seconds
        self._clock = clock
        self._walk = Walk(leadership, tasks)
        self._unaccounted = Unaccounted(metrics.unaccounted, tasks, clock)
        self._suspects: dict[Publication, float] = {}
        self._changes = 0
        self._epoch: int | None = None

    def turn(self) -> None:
        term = self._leadership.require_term()
        if self._epoch != term.epoch:
            self._epoch, self._suspects = term.epoch, {}
            self._walk.restart()
            self._unaccounted.show(0)
        # While overdue outbox rows wait, or everything is being published, most rows would look lost and are not.
        if self._wait_for() or not self._leadership.read(self._database.is_settled):
            return
        if self._changes != self._database.changes:
            self._changes, self._suspects = self._database.changes, {}
        self._look_again()
        self._walk_on()

    def _look_again(self) -> None:
        due = self._clock() - self._second_look_seconds
        ripe = [suspect for suspect, since in self._suspects.items() if since <= due]
        published = 0
        for start in range(0, len(ripe), PAGE):
            chunk = ripe[start : start + PAGE]
            published += len(self._walk.lost(chunk, self._dispatcher))
            for suspect in chunk:
                del self._suspects[suspect]
        if published:
            self._unaccounted.add(published)
            self._metrics.reconciled.inc(published)
            log.warning("reconcile_pass", tasks_published_again=published)
        else:
            self._unaccounted.clear_if_over(self._suspects.values())

    def _walk_on(self) -> None:
        """Looks at the next pages; the walk begins anew after the last one."""
        for _ in range(_PAGES_A_TURN):
            if not self._leadership.leading or len(self._suspects) >= _MOST_SUSPECTS:
                return
            if self._walk.is_at_start:
                self._unaccounted.walk_begins()
            page, unknown = self._walk.step()
            for suspect in unknown:
                self._suspects.setdefault(suspect, self._clock())
            if page.next is None:
                self._unaccounted.walk_ends()
                return
