"""Reconcile: queued rows that Redis no longer knows go out again.

Two ways to notice. The epoch key is set by the leader and never expires: when it is gone while Redis
answers, Redis has lost everything, and all queued rows are published at once. And a walk through all queued
rows, a few pages a turn, finds single messages that were lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from logging import INFO, WARNING

import redis
import sqlalchemy as sa
import structlog

from taskyard.broker.publisher import Publisher
from taskyard.domain.tasks import Publication
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.telemetry.metrics import Dependency

from .ground import Ground
from .inventory import PAGE, Inventory, Place
from .leader import Leadership, LeadershipLost
from .metrics import SchedulerMetrics

log = structlog.stdlib.get_logger(__name__)

# 10,000 rows a turn, a turn every two seconds: once round a million in some three minutes.
_PAGES_A_TURN = 10
_SECOND_LOOK_SECONDS = 10.0
_MOST_SUSPECTS = 50_000
# A scraper that comes once a minute sees every loss.
_SHOWN_SECONDS = 60.0

_QUEUED = sa.text("SELECT CAST(coalesce(sum(tasks), 0) AS int8) FROM queue_depth WHERE state = 'queued'")

# The marker shows that Redis kept everything that was published since the rebuild began.
_FINISH = """
if redis.call('exists', KEYS[2]) == 0 then return 0 end
redis.call('set', KEYS[1], ARGV[1])
redis.call('del', KEYS[2])
return 1
"""


class Rebuild:
    """After Redis lost everything."""

    def __init__(
        self,
        leadership: Leadership,
        publisher: Publisher,
        ground: Ground,
        inventory: Inventory,
        metrics: SchedulerMetrics,
        broker: Dependency,
    ) -> None:
        self._leadership = leadership
        self._publisher = publisher
        self._ground = ground
        self._inventory = inventory
        self._metrics = metrics
        self._broker = broker
        self._client: redis.Redis = publisher.client
        self._epoch_key = publisher.names.epoch
        self._marker = f"{self._epoch_key}:rebuilding"
        self._finish = self._client.register_script(_FINISH)
        self.is_needed = True
        """Whether Redis has lost everything, as far as is known."""

    def turn(self) -> None:
        """Looks for the key; publishes all queued rows where it is gone."""
        there = bool(self._client.exists(self._epoch_key))
        self._broker.answered()
        self.is_needed = not there
        if there or not self._leadership.read(self._ground.steady):
            return
        self._client.set(self._marker, "1", ex=3600)
        published = self._publish_all()
        if published is not None and self._finish(keys=[self._epoch_key, self._marker], args=[self._stamp()]):
            self.is_needed = False
            # The key is missing before the very first start, too.
            log.log(WARNING if published else INFO, "broker_rebuilt", tasks=published)

    def _publish_all(self) -> int | None:
        """How many were published; None where it has to begin again."""
        published = 0
        left: int = self._leadership.read(lambda conn: conn.execute(_QUEUED).scalar_one())
        place: Place | None = Place()
        while place is not None:
            if not self._leadership.leading:
                raise LeadershipLost
            self._metrics.unaccounted.set(max(0, left))
            page = self._leadership.read(partial(self._inventory.page, place=place, age_seconds=0.0))
            # What was submitted since is there already.
            published += self._publisher.publish(self._inventory.unknown(page.old))
            left -= page.size
            place = page.next
            if not self._client.expire(self._marker, 3600):
                return None
        self._metrics.unaccounted.set(0)
        return published

    def _stamp(self) -> str:
        term = self._leadership.term
        return f"{self._leadership.holder}:{term.epoch if term else 0}"


class Missing:
    """Rows that have been queued for over 30 s, are in nobody's outbox, and whose message Redis does not
    know in two looks at least ten seconds apart.

    How many were found is shown for a minute at least, and until a walk that began afterwards found no more.
    """

    def __init__(
        self,
        leadership: Leadership,
        dispatcher: Dispatcher,
        ground: Ground,
        inventory: Inventory,
        metrics: SchedulerMetrics,
        *,
        wait_for: Callable[[], bool],
        second_look_seconds: float = _SECOND_LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._dispatcher = dispatcher
        self._ground = ground
        self._inventory = inventory
        self._metrics = metrics
        self._wait_for = wait_for
        self._second_look = second_look_seconds
        self._clock = clock
        self._place: Place | None = None
        self._suspects: dict[Publication, float] = {}
        self._changes = 0
        self._epoch: int | None = None
        self._lost = 0
        self._lost_at = 0.0
        self._walk_began_after = False
        self._clean_at: float | None = None
        """When a walk that began after the last loss came to its end."""

    def turn(self) -> None:
        term = self._leadership.term
        if term is None:
            raise LeadershipLost
        if self._epoch != term.epoch:
            self._epoch, self._suspects, self._place = term.epoch, {}, None
            self._show(0)
        # While overdue outbox rows wait, or everything is being published, most would be found missing for
        # nothing.
        if self._wait_for() or not self._leadership.read(self._ground.steady):
            return
        if self._changes != self._ground.changes:
            self._changes, self._suspects = self._ground.changes, {}
        self._look_again()
        self._look_on()

    def _look_again(self) -> None:
        """The second look, Redis first and the ledger afterwards: a message is acknowledged after its claim
        is committed, so what is still queued after Redis did not know it was lost indeed."""
        due = self._clock() - self._second_look
        ripe = [p for p, since in self._suspects.items() if since <= due]
        lost = 0
        for start in range(0, len(ripe), PAGE):
            chunk = ripe[start : start + PAGE]
            lost += self._publish_again(self._inventory.unknown(chunk))
            for publication in chunk:
                del self._suspects[publication]
        if lost:
            self._show(self._lost + lost)
            self._metrics.reconciled.inc(lost)
            log.warning("reconcile_pass", tasks_published_again=lost)
        elif self._lost and self._is_over():
            self._show(0)

    def _show(self, lost: int) -> None:
        self._lost, self._lost_at = lost, self._clock()
        self._walk_began_after, self._clean_at = False, None
        self._metrics.unaccounted.set(lost)

    def _is_over(self) -> bool:
        """Every suspect of a walk that began after the last loss turned out to be none."""
        if self._clean_at is None or self._clock() < self._lost_at + _SHOWN_SECONDS:
            return False
        return all(since > self._clean_at for since in self._suspects.values())

    def _publish_again(self, unknown: list[Publication]) -> int:
        if not unknown:
            return 0
        missing, outbox_id = self._leadership.write(lambda conn: self._inventory.box(conn, unknown))
        self._dispatcher.dispatch(Committed(missing, outbox_id))
        return len(missing)

    def _look_on(self) -> None:
        """The next pages of the walk; it begins anew after the last."""
        for _ in range(_PAGES_A_TURN):
            if not self._leadership.leading or len(self._suspects) >= _MOST_SUSPECTS:
                return
            if self._place is None:
                self._walk_began_after = True
            place = self._place or Place()
            page = self._leadership.read(partial(self._inventory.page, place=place))
            for publication in self._inventory.unknown(page.old):
                self._suspects.setdefault(publication, self._clock())
            self._place = page.next
            if self._place is None:
                if self._walk_began_after and self._clean_at is None:
                    self._clean_at = self._clock()
                return
