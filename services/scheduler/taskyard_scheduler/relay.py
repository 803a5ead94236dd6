"""Relay: what was committed and not published by who committed it is published now."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from taskyard.broker.publisher import Publisher
from taskyard.failpoints import failpoint
from taskyard.lifecycle import publish

from .ground import Ground
from .leader import Leadership, LeadershipLost
from .marks import SettledMark
from .metrics import SchedulerMetrics

log = structlog.stdlib.get_logger(__name__)

_ROWS = 100
_MESSAGES = 1000  # in one round trip: it must fit into the socket's time-out
_LOWEST = sa.text("SELECT min(id) FROM outbox WHERE id > :low_water AND id <= :settled")


class Relay:
    """Publishes overdue outbox rows, then deletes them; between the two no lock is held and no transaction
    open.

    A crash in between publishes them twice, which a claim absorbs.
    """

    def __init__(
        self,
        leadership: Leadership,
        publisher: Publisher,
        ground: Ground,
        metrics: SchedulerMetrics,
        *,
        overdue_after: timedelta = timedelta(seconds=10),
    ) -> None:
        self._leadership = leadership
        self._publisher = publisher
        self._ground = ground
        self._metrics = metrics
        self._overdue_after = overdue_after
        self._settled = SettledMark("outbox", "outbox_id_seq")
        self._seen: tuple[int, int] | None = None
        self.low_water = 0
        """Nothing is left, or will ever appear, at or below this id."""
        self.backlog = False
        """Whether overdue rows were left at the last look: reconcile waits for them."""

    def turn(self) -> None:
        """Relays all that is overdue."""
        term = self._leadership.term
        if term is None:
            raise LeadershipLost
        if self._seen != (term.epoch, self._ground.changes):
            # Another PostgreSQL may hand out ids again that we believe to be behind us.
            self._seen = (term.epoch, self._ground.changes)
            self._settled.reset()
            self.low_water = 0
        relayed = 0
        while self._leadership.leading:
            found = self._leadership.read(
                lambda conn: publish.overdue(
                    conn, older_than=self._overdue_after, low_water=self.low_water, limit=_ROWS
                )
            )
            self.backlog = bool(found.outbox_ids)  # stays so where Redis does not take them
            relayed += self._relay(found)
            if len(found.outbox_ids) < _ROWS:
                self.backlog = False
                break
        if relayed:
            log.info("outbox_relayed", tasks=relayed)
        standing = self._leadership.read(self._stand)
        self._metrics.outbox_pending.set(standing.pending)
        self._metrics.outbox_oldest.set(standing.oldest_at.timestamp() if standing.oldest_at else 0)

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

    def _stand(self, conn: Connection) -> publish.Standing:
        settled = self._settled.advance(conn)
        if settled > self.low_water:
            lowest = conn.execute(_LOWEST, {"low_water": self.low_water, "settled": settled}).scalar()
            self.low_water = settled if lowest is None else lowest - 1
        return publish.standing(conn, low_water=self.low_water)
