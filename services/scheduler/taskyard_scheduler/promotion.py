"""Promotion: tasks whose time has come become queued and are published at once; those too old end.

A loop in a thread of its own, not an interval job: it sleeps until the next due time and is woken when
somebody commits an earlier one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

import redis
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.broker.names import Names
from taskyard.failpoints import failpoint
from taskyard.lifecycle import promote
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Recorded

from .guard import Guard
from .leader import Leadership
from .metrics import SchedulerMetrics

_BATCH = 1000
LONGEST_SLEEP_SECONDS = 5.0
# However often it is woken, it looks no more often than this.
_SHORTEST_SLEEP_SECONDS = 0.05
_SLICE_SECONDS = 1.0

_NOW = sa.text("SELECT now()")


class Promotion:
    def __init__(
        self,
        leadership: Leadership,
        dispatcher: Dispatcher,
        client: redis.Redis,
        names: Names,
        metrics: SchedulerMetrics,
        *,
        guard: Callable[[str, Callable[[], None]], Guard],
    ) -> None:
        self._leadership = leadership
        self._dispatcher = dispatcher
        self._client = client
        self._wake_key = names.wake_scheduler
        self._metrics = metrics
        self._guarded = guard("promotion", self.turn)
        self._waiting = guard("promotion_wake", self._wait_for_wake)
        self._sleep_seconds = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="promotion", daemon=True)
        self.turned = time.monotonic()
        """When the loop last came round: the service is alive while it does."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * _SLICE_SECONDS + 1)

    def turn(self) -> None:
        """Promotes and expires what is due; afterwards `_sleep_seconds` says when to look again."""
        promoted, expired, due_in = self._leadership.write(self._step)
        if promoted.changes:
            failpoint("promote.after")
        self._dispatcher.dispatch(Committed(promoted.publications, promoted.outbox_id, promoted.changes))
        self._dispatcher.dispatch(Committed(changes=expired.changes))
        if expired.changes:
            self._metrics.dead_lettered["expired"].inc(len(expired.changes))
        full = len(promoted.changes) >= _BATCH or len(expired.changes) >= _BATCH
        self._sleep_seconds = 0.0 if full else min(max(due_in, _SHORTEST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS)

    @staticmethod
    def _step(conn: Connection) -> tuple[Recorded, Recorded, float]:
        promoted = promote.promote(conn, limit=_BATCH)
        expired = promote.expire(conn, limit=_BATCH)
        due = promote.next_due(conn)
        now: datetime = conn.execute(_NOW).scalar_one()
        return promoted, expired, (due - now).total_seconds() if due else LONGEST_SLEEP_SECONDS

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.turned = time.monotonic()
            if not self._guarded():
                self._stopping.wait(max(0.1, self._guarded.rest_seconds))
                continue
            self._sleep()

    def _sleep(self) -> None:
        """Until the next due time or a wake-up; in slices, so that stopping takes no longer."""
        looked = time.monotonic()
        while not self._stopping.is_set() and self._leadership.leading:
            self.turned = time.monotonic()
            left = self._sleep_seconds - (time.monotonic() - looked)
            if left <= 0:
                return
            self._slice = min(left, _SLICE_SECONDS)
            self._woken = False
            if not self._waiting():
                # Nobody can wake us while Redis is away, so we look by ourselves, and more often.
                self._stopping.wait(min(left, _SLICE_SECONDS))
                return
            if self._woken:
                rest = _SHORTEST_SLEEP_SECONDS - (time.monotonic() - looked)
                self._stopping.wait(max(0.0, rest))
                return

    def _wait_for_wake(self) -> None:
        # BLPOP takes 0 for "for ever".
        answer = self._client.blpop([self._wake_key], timeout=max(self._slice, 0.01))
        self._woken = answer is not None
