"""Relay: publishes outbox rows that the process which committed them did not publish."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from taskyard.broker.publisher import Publisher
from taskyard.failpoints import failpoint
from taskyard.lifecycle import publish

from .database_watch import DatabaseWatch
from .leader import Leadership
from .marks import SettledMark
from .metrics import SchedulerMetrics

log = structlog.stdlib.get_logger(__name__)

_ROWS = 100
_MESSAGES = 1000  # in one round trip, which must fit into the socket's time-out
_LOWEST = sa.text("SELECT min(id) FROM outbox WHERE id > :low_water AND id <= :settled")


class Relay:
    """Publishes overdue outbox rows, then deletes them. It holds no lock and no transaction in between.

    After a crash in between they are published twice, and the claim absorbs the second message.
    """

    def __init__(
        self,
        leadership: Leadership,
        publisher: Publisher,
        database: DatabaseWatch,
        metrics: SchedulerMetrics,
        *,
        overdue_after: timedelta = timedelta(seconds=10),
        also: Callable[[Connection], publish.Standing] = lambda conn: publish.Standing(0, None),
    ) -> None:
        """`also`: what waits in another outbox, which the metrics count as well."""
        self._leadership = leadership
        self._publisher = publisher
        self._database = database
        self._metrics = metrics
        self._overdue_after = overdue_after
        self._also = also
        self._settled = SettledMark("outbox", "outbox_id_seq")
        self._seen: tuple[int, int] | None = None
        self.low_water = 0
        """No outbox row is left, or will ever appear, at or below this id."""
        self.backlog = False
        """Whether the last turn left overdue rows; reconcile waits for them."""

    def turn(self) -> None:
        term = self._leadership.require_term()
        if self._seen != (term.epoch, self._database.changes):
            # After a failover PostgreSQL may assign ids again that lie below the mark.
            self._seen = (term.epoch, self._database.changes)
            self._settled.reset()
            self.low_water = 0
        try:
            self._publish_overdue()
        finally:
            self._count()  # also where Redis or a lock keeps rows here, of all times

    def _publish_overdue(self) -> None:
        relayed = 0
        while self._leadership.leading:
            found = self._leadership.read(
                lambda conn: publish.overdue(
                    conn, older_than=self._overdue_after, low_water=self.low_water, limit=_ROWS
                )
            )
            self.backlog = bool(found.outbox_ids)  # stays so where Redis fails
            relayed += self._relay(found)
            if len(found.outbox_ids) < _ROWS:
                self.backlog = False
                break
        if relayed:
            log.info("outbox_relayed", tasks=relayed)

    def _count(self) -> None:
        waiting = [self._leadership.read(self._advance), self._leadership.read(self._also)]
        oldest_at = min((left.oldest_at for left in waiting if left.oldest_at), default=None)
        self._metrics.outbox_pending.set(sum(left.pending for left in waiting))
        self._metrics.outbox_oldest.set(oldest_at.timestamp() if oldest_at else 0)

    def _relay(self, found: publish.Overdue) -> int:
        for start in range(0, len(found.publications), _MESSAGES):
            failpoint("relay.before")
            self._publisher.publish(found.publications[start : start + _MESSAGES])
        if found.outbox_ids:
            failpoint("relay.published")
            self._leadership.write(lambda conn: publish.delete(conn, found.outbox_ids))
            failpoint("relay.after")
        self._metrics.relayed.inc(len(found.publications))
        return len(found.publications)

    def _advance(self, conn: Connection) -> publish.Standing:
        """Moves the low-water mark; returns what waits above it."""
        settled = self._settled.advance(conn)
        if settled > self.low_water:
            lowest = conn.execute(_LOWEST, {"low_water": self.low_water, "settled": settled}).scalar()
            self.low_water = settled if lowest is None else lowest - 1
        return publish.standing(conn, low_water=self.low_water)
