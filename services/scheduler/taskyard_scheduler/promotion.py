"""Promotion: due tasks become queued and are published at once; tasks past their life fail; steps of workflows that a
failure or a cancellation ends are cancelled, and those that nothing holds any more are unblocked; children that the
cancellation of their parent left follow it; and what waits for a limit is granted when there is room.

A loop in its own thread, not an interval job: it sleeps until the next due time, and is woken when a task with an
earlier one is committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from taskyard.lifecycle import held_steps, limits, promote, sweeps
from taskyard.lifecycle.committed import Committed, commit, together
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.follow import follow
from taskyard.store import left_children

from .jobs import Dependencies, LeaderJob
from .leader import Leadership
from .loop_watch import LoopWatch
from .metrics import SchedulerMetrics

LOOP = "promotion"
LONGEST_SLEEP_SECONDS = 5.0

_BATCH = 1000
# Wake-ups make it look no more often than this.
_SHORTEST_SLEEP_SECONDS = 0.02
# A whole turn takes PostgreSQL 2.5 ms of processor time, one that only promotes and grants 1 ms. The end of each task
# with a limit wakes, and the next task of its key waits for the grant alone.
_WHOLE_TURN_SECONDS = 0.05
_SLICE_SECONDS = 1.0

_NOW = sa.text("SELECT now()")


# How many were promoted, and expired; where the walk over blocked steps goes on; workflows to sweep; whether children
# were left; the seconds until something is due.
_Turn = tuple[int, int, UUID | None, list[UUID], bool, float]


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
        promoted, expired, self._after, marked, is_left, due_in = commit(
            self._leadership.write, step, self._dispatcher, name="promote"
        )
        if expired:
            self._metrics.dead_lettered["expired"].inc(expired)
        due_in = min(due_in, self._grant())
        self._each([*(partial(sweeps.sweep, workflow_id=flow) for flow in marked), *([follow] if is_left else [])])
        # What was swept may bring another sweep about, and what followed may have children.
        is_full = promoted >= _BATCH or expired >= _BATCH or bool(marked) or is_left
        return 0.0 if is_full else min(max(due_in, _SHORTEST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS)

    def turn_between(self) -> float:
        """Only promotes and grants, soon after a whole turn; returns the seconds until the next one."""
        promoted, due_in = commit(self._leadership.write, self._promote, self._dispatcher, name="promote")
        due_in = min(due_in, self._grant())
        return 0.0 if promoted >= _BATCH else min(max(due_in, _SHORTEST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS)

    def _grant(self) -> float:
        """Grants what limits have room for; returns the seconds until there may be more."""
        epoch = self._leadership.require_term().epoch
        if self._granting_since != epoch:
            self._leadership.write(self._granting.begin)
            self._granting_since = epoch
        turn = commit(self._leadership.write, self._granting.turn, self._dispatcher)
        self._granting.kept()
        return turn.due_in

    def _each(self, verbs: Sequence[Callable[[Connection], Committed[Any]]]) -> None:
        """Each in a transaction of its own. One that fails holds up no other: its error is raised last."""
        error: DBAPIError | None = None
        for verb in verbs:
            try:
                commit(self._leadership.write, verb, self._dispatcher)
            except DBAPIError as e:
                error = e
        if error is not None:
            raise error

    @staticmethod
    def _step(conn: Connection, after: UUID | None) -> Committed[_Turn]:
        checked = held_steps.recheck(conn, after)
        promoted = promote.promote(conn, limit=_BATCH)
        # Last of what moves tasks: it locks workflows, and no task may be waited for behind a workflow.
        expired = promote.expire(conn, limit=_BATCH)
        marked = sweeps.marked(conn)
        is_left = left_children.are_there(conn)
        turn = (promoted.answer, expired.answer, checked.answer, marked, is_left, _due_in(conn))
        return together([checked, promoted, expired], turn)

    @staticmethod
    def _promote(conn: Connection) -> Committed[tuple[int, float]]:
        promoted = promote.promote(conn, limit=_BATCH)
        return promoted.answering((promoted.answer, _due_in(conn)))


def _due_in(conn: Connection) -> float:
    due = promote.next_due(conn)
    now: datetime = conn.execute(_NOW).scalar_one()
    return (due - now).total_seconds() if due else LONGEST_SLEEP_SECONDS


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
        self._whole_at = 0.0
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
            seconds = self._job.run(self._turn)
            if seconds is None:
                self._stopping.wait(max(0.1, self._job.pause_seconds))
            else:
                self._sleep(seconds)

    def _turn(self) -> float:
        left = self._whole_at - time.monotonic()
        if left > 0:
            return min(self._promotion.turn_between(), left)
        seconds = self._promotion.turn()
        # After 0 there is more to do at once.
        self._whole_at = time.monotonic() + _WHOLE_TURN_SECONDS if seconds else 0.0
        return seconds

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
