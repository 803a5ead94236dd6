"""Promotion: due tasks become queued and are published at once; tasks past their life fail; steps of workflows that a
failure or a cancellation ends are cancelled, and those that nothing holds any more are unblocked; and what waits for a
limit is granted when there is room.

A loop in its own thread, not an interval job: it sleeps until the next due time, and is woken when a task with an
earlier one is committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import redis
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from taskyard.lifecycle import held_steps, limits, promote, sweeps
from taskyard.lifecycle.committed import Committed, commit, together
from taskyard.lifecycle.dispatch import Dispatcher

from .jobs import Dependencies, LeaderJob
from .leader import Leadership
from .loop_watch import LoopWatch
from .metrics import SchedulerMetrics

LOOP = "promotion"
LONGEST_SLEEP_SECONDS = 5.0

_BATCH = 1000
# Wake-ups make it look no more often than this.
_SHORTEST_SLEEP_SECONDS = 0.05
_SLICE_SECONDS = 1.0

_NOW = sa.text("SELECT now()")


class Promotion:
    def __init__(self, leadership: Leadership, dispatcher: Dispatcher, metrics: SchedulerMetrics) -> None:
        self._leadership = leadership
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._granting = limits.Granting()
        self._granting_since: int | None = None
        # The last blocked step that was looked at; None: the walk begins anew.
        self._after: UUID | None = None

    def turn(self) -> float:
        """Looks at some of the blocked steps, promotes, expires, sweeps and grants what is due; returns the seconds
        until the next turn."""
        step = partial(self._step, after=self._after)
        promoted, expired, self._after, marked, due_in = commit(
            self._leadership.write, step, self._dispatcher, name="promote"
        )
        if expired:
            self._metrics.dead_lettered["expired"].inc(expired)
        self._sweep(marked)
        due_in = min(due_in, self._grant())
        # What was swept may bring another sweep about.
        is_full = promoted >= _BATCH or expired >= _BATCH or bool(marked)
        return 0.0 if is_full else min(max(due_in, _SHORTEST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS)

    def _grant(self) -> float:
        """Grants what limits have room for; returns the seconds until there may be more."""
        epoch = self._leadership.require_term().epoch
        if self._granting_since != epoch:
            self._leadership.write(self._granting.begin)
            self._granting_since = epoch
        return commit(self._leadership.write, self._granting.turn, self._dispatcher).due_in

    def _sweep(self, marked: Sequence[UUID]) -> None:
        """Each in a transaction of its own. One that cannot be swept holds up no other: its error is raised last."""
        error: DBAPIError | None = None
        for workflow_id in marked:
            try:
                commit(self._leadership.write, partial(sweeps.sweep, workflow_id=workflow_id), self._dispatcher)
            except DBAPIError as e:
                error = e
        if error is not None:
            raise error

    @staticmethod
    def _step(conn: Connection, after: UUID | None) -> Committed[tuple[int, int, UUID | None, list[UUID], float]]:
        checked = held_steps.recheck(conn, after)
        promoted = promote.promote(conn, limit=_BATCH)
        # Last of what moves tasks: it locks workflows, and no task may be waited for behind a workflow.
        expired = promote.expire(conn, limit=_BATCH)
        marked = sweeps.marked(conn)
        due = promote.next_due(conn)
        now: datetime = conn.execute(_NOW).scalar_one()
        due_in = (due - now).total_seconds() if due else LONGEST_SLEEP_SECONDS
        return together([checked, promoted, expired], (promoted.answer, expired.answer, checked.answer, marked, due_in))


class PromotionLoop:
    """The thread. `wake_key` is the list in Redis to which wake-ups are pushed; `loops` learns of every turn."""

    def __init__(
        self,
        promotion: Promotion,
        leadership: Leadership,
        client: redis.Redis,
        wake_key: str,
        loops: LoopWatch,
        dependencies: Dependencies,
    ) -> None:
        self._promotion = promotion
        self._leadership = leadership
        self._client = client
        self._wake_key = wake_key
        self._loops = loops
        self._job = LeaderJob(LOOP, leadership, dependencies)
        self._wake_job = LeaderJob("promotion_wake", leadership, dependencies)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * _SLICE_SECONDS + 1)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._loops.turned(LOOP)
            seconds = self._job.run(self._promotion.turn)
            if seconds is None:
                self._stopping.wait(max(0.1, self._job.pause_seconds))
            else:
                self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        """Until the next due time or a wake-up; in slices, so that `stop` does not wait for longer."""
        began = time.monotonic()
        while not self._stopping.is_set() and self._leadership.leading:
            self._loops.turned(LOOP)
            left = seconds - (time.monotonic() - began)
            if left <= 0:
                return
            slice_seconds = min(left, _SLICE_SECONDS)
            woken = self._wake_job.run(partial(self._wait_for_wake, slice_seconds))
            if woken is None:
                # Without Redis there are no wake-ups, so it looks more often.
                self._stopping.wait(slice_seconds)
                return
            if woken:
                self._stopping.wait(max(0.0, _SHORTEST_SLEEP_SECONDS - (time.monotonic() - began)))
                return

    def _wait_for_wake(self, seconds: float) -> bool:
        # 0 would make BLPOP wait for ever.
        return self._client.blpop([self._wake_key], timeout=max(seconds, 0.01)) is not None
