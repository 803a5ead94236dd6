"""Reconcile: queued rows that Redis no longer knows go out again.

Three ways to notice. The epoch key is set by the leader and never expires: when it is gone while Redis answers, Redis
has lost everything, and all queued rows are published at once. Its value is the run id of the server it was set on:
where another one answers, Redis was started again, restored or failed over, and may have lost the newest or all but
the oldest; then all queued rows are compared at once, as after a change of PostgreSQL. And a walk through all queued
rows, a few pages a turn, finds single messages that were lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from logging import INFO, WARNING
from typing import Any

import redis
import sqlalchemy as sa
import structlog

from taskyard.broker.publisher import Publisher
from taskyard.domain.tasks import Publication
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.telemetry.metrics import Dependency

from .ground import Ground
from .inventory import PAGE, Inventory, Page, Place
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
    """After Redis lost everything, or may have lost much."""

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
        self._changes = ground.changes
        self.is_needed = True
        """Whether all queued rows are to be looked at before anything else, as far as is known."""

    def turn(self) -> None:
        """Looks whether Redis and PostgreSQL are the ones they were; publishes what may be missing otherwise."""
        known: Any = self._client.get(self._epoch_key)
        server: Any = self._client.info("server")
        self._broker.answered()
        changes = self._ground.changes
        self.is_needed = known != server["run_id"].encode() or changes != self._changes
        if not self.is_needed or not self._leadership.read(self._ground.steady):
            return
        self._client.set(self._marker, "1", ex=3600)
        published = self._publish_all() if known is None else self._compare_all()
        if published is not None and self._finish(keys=[self._epoch_key, self._marker], args=[server["run_id"]]):
            self.is_needed, self._changes = False, changes
            # The key is missing before the very first start, too.
            event = "broker_rebuilt" if known is None else "broker_compared"
            log.log(WARNING if published else INFO, event, tasks=published)

    def _publish_all(self) -> int | None:
        """How many were published; None where it has to begin again."""
        published = 0
        left: int = self._leadership.read(lambda conn: conn.execute(_QUEUED).scalar_one())
        for page in self._pages():
            if page is None:
                return None
            self._metrics.unaccounted.set(max(0, left))
            # What was submitted since is there already.
            published += self._publisher.publish(self._inventory.unknown(page.old))
            left -= page.size
        self._metrics.unaccounted.set(0)
        return published

    def _compare_all(self) -> int | None:
        """The same where most may be there still: only what nobody is about to publish counts as unaccounted for.

        What is in an outbox is published as well: its row may be deleted in a moment by who published it to the
        server that is gone.
        """
        published, lost = 0, 0
        for page in self._pages():
            if page is None:
                return None
            if unknown := self._inventory.unknown(page.old):
                still = partial(self._inventory.still_queued, suspects=unknown, age_seconds=0.0)
                lost += len(self._leadership.read(still))
                self._metrics.unaccounted.set(lost)
                published += self._publisher.publish(unknown)
        self._metrics.reconciled.inc(lost)
        self._metrics.unaccounted.set(0)
        return published

    def _pages(self) -> Iterator[Page | None]:
        """All queued rows; None, and no more, where Redis lost the marker of this pass."""
        place: Place | None = Place()
        while place is not None:
            if not self._leadership.leading:
                raise LeadershipLost
            page = self._leadership.read(partial(self._inventory.page, place=place, age_seconds=0.0))
            yield page
            place = page.next
            if not self._client.expire(self._marker, 3600):
                yield None
                return


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
        """The second look: the ledger, Redis, the ledger. An outbox row goes after its messages are in Redis, and a
        message after its claim is committed. So what was in no outbox before Redis did not know it, and is queued
        still afterwards, was lost indeed."""
        due = self._clock() - self._second_look
        ripe = [p for p, since in self._suspects.items() if since <= due]
        lost = 0
        for start in range(0, len(ripe), PAGE):
            chunk = ripe[start : start + PAGE]
            waiting = self._leadership.read(partial(self._inventory.still_queued, suspects=chunk))
            lost += self._publish_again(self._inventory.unknown(waiting))
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
