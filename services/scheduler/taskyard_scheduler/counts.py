"""Counts of the ledger that the leader makes for metrics: bounded, and rarer where they are dear."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa
import structlog
from prometheus_client import Counter
from sqlalchemy import Connection

from taskyard.domain.errors import LedgerUnavailable
from taskyard.store.sqlstates import STATEMENT_CANCELLED, sqlstate

from .leader import Leadership, LeadershipLost

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

PAUSE_FACTOR, LONGEST_PAUSE = 10, timedelta(minutes=1)
# One that takes longer than this is made more rarely than wanted, which is worth a line in the log.
_SLOW_SECONDS = 1.0

_PATIENCE = sa.text("SELECT set_config('statement_timeout', :milliseconds, true)")


class Count:
    """A count that is made every `every` at most, and after a pause of `PAUSE_FACTOR` times what the last one took, a
    minute at most. In a new term it is made at once.

    Each statement has `patience`, which is shorter than that of others: PostgreSQL has better things to do. One that is
    ended for that says nothing of whether PostgreSQL is there.
    """

    def __init__(
        self,
        name: str,
        leadership: Leadership,
        failures: Counter,
        *,
        every: timedelta = timedelta(0),
        patience: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._leadership = leadership
        self._failures = failures
        self._every = every
        self._patience = patience
        self._clock = clock
        self._epoch: int | None = None
        self._due_at = -math.inf
        self._was_slow = False

    def make(self, verb: Callable[[Connection], T]) -> T | None:
        """What `verb` answers in a transaction of the leader; None where it is too early, or took too long.

        Raises LeadershipLost and LedgerUnavailable.
        """
        epoch, began = self._leadership.require_term().epoch, self._clock()
        if epoch == self._epoch and began < self._due_at:
            return None
        self._epoch = epoch
        try:
            return self._leadership.write(lambda conn: self._bounded(conn, verb))
        except LeadershipLost:
            raise
        except Exception as e:
            self._failures.inc()
            if not isinstance(e, LedgerUnavailable) or sqlstate(e.__cause__) != STATEMENT_CANCELLED:
                raise
            log.warning("count_given_up", count=self._name, seconds=self._patience.total_seconds())
            return None
        finally:
            self._pause(self._clock() - began)

    def _bounded(self, conn: Connection, verb: Callable[[Connection], T]) -> T:
        conn.execute(_PATIENCE, {"milliseconds": str(math.ceil(self._patience / timedelta(milliseconds=1)))})
        return verb(conn)

    def _pause(self, took: float) -> None:
        pause = max(self._every.total_seconds(), min(PAUSE_FACTOR * took, LONGEST_PAUSE.total_seconds()))
        self._due_at = self._clock() + pause
        is_slow = took > _SLOW_SECONDS
        if is_slow and not self._was_slow:
            log.warning("count_slow", count=self._name, seconds=round(took, 3), pause_seconds=round(pause, 1))
        self._was_slow = is_slow
