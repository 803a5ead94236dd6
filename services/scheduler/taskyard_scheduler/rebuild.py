"""Rebuild: all queued rows are looked at, at once, after Redis or PostgreSQL lost much.

The leader sets the epoch key, which never expires. Where it is missing while Redis answers, Redis has lost everything,
and all queued rows are published. Its value is the run id of the server on which it was set. Where another server
answers, Redis was restarted, restored or failed over and may have lost any number of messages; then all queued rows are
compared with it, as after a change of PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from logging import INFO, WARNING
from typing import Any

import redis
import sqlalchemy as sa
import structlog

from taskyard.broker.publisher import Publisher
from taskyard.domain.tasks import Publication
from taskyard.telemetry.metrics import Dependency

from .database_watch import DatabaseWatch
from .leader import Leadership
from .metrics import SchedulerMetrics
from .queued_tasks import Page, QueuedTasks, Walk

log = structlog.stdlib.get_logger(__name__)

_MARKER_SECONDS = 3600

_QUEUED = sa.text("SELECT CAST(coalesce(sum(tasks), 0) AS int8) FROM queue_depth WHERE state = 'queued'")

# The marker proves that Redis kept everything that was published since the rebuild began.
_FINISH = """
if redis.call('exists', KEYS[2]) == 0 then return 0 end
redis.call('set', KEYS[1], ARGV[1])
redis.call('del', KEYS[2])
return 1
"""


class _MarkerLost(Exception):
    """Redis lost data again during the rebuild; the next turn starts over."""


class Rebuild:
    def __init__(
        self,
        leadership: Leadership,
        publisher: Publisher,
        database: DatabaseWatch,
        tasks: QueuedTasks,
        metrics: SchedulerMetrics,
        broker: Dependency,
    ) -> None:
        self._leadership = leadership
        self._publisher = publisher
        self._database = database
        self._tasks = tasks.of_any_age()
        self._metrics = metrics
        self._broker = broker
        self._client: redis.Redis = publisher.client
        self._epoch_key = publisher.names.epoch
        self._marker = f"{self._epoch_key}:rebuilding"
        self._finish = self._client.register_script(_FINISH)
        self._changes = database.changes
        self.is_needed = True
        """Whether all queued rows have to be looked at first, as far as is known; reconcile waits for that."""

    def turn(self) -> None:
        """Checks that Redis and PostgreSQL are the servers they were; publishes what may be missing where not."""
        known: Any = self._client.get(self._epoch_key)
        server: Any = self._client.info("server")
        self._broker.answered()
        changes = self._database.changes
        self.is_needed = known != server["run_id"].encode() or changes != self._changes
        if not self.is_needed or not self._leadership.read(self._database.is_settled):
            return
        self._client.set(self._marker, "1", ex=_MARKER_SECONDS)
        try:
            published = self._publish_all() if known is None else self._compare_all()
        except _MarkerLost:
            return
        if self._finish(keys=[self._epoch_key, self._marker], args=[server["run_id"]]):
            self.is_needed, self._changes = False, changes
            # The key is missing before the very first start, too.
            event = "broker_rebuilt" if known is None else "broker_compared"
            log.log(WARNING if published else INFO, event, tasks=published)

    def _publish_all(self) -> int:
        published = 0
        left: int = self._leadership.read(lambda conn: conn.execute(_QUEUED).scalar_one())
        for page, unknown in self._steps():
            self._show_lost(max(0, left))
            # Not those that were submitted since, which Redis knows.
            published += self._publisher.publish(unknown)
            left -= page.size
        self._show_lost(0)
        return published

    def _compare_all(self) -> int:
        """The same where Redis may have kept most. Only tasks that are in no outbox row count as unaccounted for.

        Tasks in an outbox row are published as well: the process that published them to the former server may be about
        to delete the row.
        """
        published, lost = 0, 0
        for _, unknown in self._steps():
            if unknown:
                lost += len(self._leadership.read(partial(self._tasks.still_queued, suspects=unknown)))
                self._show_lost(lost)
                published += self._publisher.publish(unknown)
        self._metrics.reconciled.inc(lost)
        self._show_lost(0)
        return published

    def _show_lost(self, lost: int) -> None:
        self._metrics.unaccounted.set(lost)
        self._tasks.tell_lost(lost)

    def _steps(self) -> Iterator[tuple[Page, list[Publication]]]:
        """A walk through all queued rows. Raises LeadershipLost and _MarkerLost."""
        walk = Walk(self._leadership, self._tasks)
        is_last = False
        while not is_last:
            self._leadership.require_term()
            page, unknown = walk.step()
            yield page, unknown
            is_last = page.next is None
            if not self._client.expire(self._marker, _MARKER_SECONDS):
                raise _MarkerLost
