"""Leadership: a lease row by PostgreSQL's clock, with an epoch that grows each time another process takes it.

Three things together keep two leaders from harming each other. A leader that cannot renew its lease stops leading
before the lease ends, by its own clock. Each of its writes checks holder and epoch in the same transaction, so that a
process which was stopped in between (SIGSTOP, a suspended machine) finds out before it writes. Whatever slips through
between that check and the commit is harmless when done twice, because all writes of a leader are guarded by the state
that they change. A session-level advisory lock gives none of this: a stopped process holds it for as long as it is
stopped.

A leader that reaches PostgreSQL but not Redis goes on leading, unless a standby reaches both. That standby takes the
lease before its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection, Engine

from taskyard.backoff import spread
from taskyard.store import ledger

from .database_watch import DatabaseWatch

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

NAME = "scheduler"
ASK_SECONDS = 1.0
# The share of the lease that stays unused: the two clocks may drift apart by so much.
_MARGIN = 0.1

_WHERE = "name = :name AND holder = :holder AND epoch = :epoch"
_SERVER = DatabaseWatch.COLUMNS
# How long a leader may be without Redis before a standby that reaches it takes over.
_WITHOUT_BROKER = "interval '1 second'"

# `left_seconds` is what was left of the lease that the statement found; negative where it had ended.
_TAKE = sa.text(f"""
WITH taken AS (
    INSERT INTO leader AS l (name, holder, holder_name, epoch, expires_at, ticked_at, broker_lost_at)
    VALUES (:name, :holder, :holder_name, 1, now() + CAST(:lease AS interval), now(),
        CASE WHEN NOT :reaches_broker THEN now() END)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, holder_name = excluded.holder_name,
        epoch = l.epoch + 1, expires_at = excluded.expires_at, ticked_at = excluded.ticked_at,
        broker_lost_at = excluded.broker_lost_at
    WHERE l.expires_at <= now() OR :reaches_broker AND l.broker_lost_at < now() - {_WITHOUT_BROKER}
    RETURNING epoch
)
SELECT (SELECT epoch FROM taken) AS epoch,
    (SELECT CAST(extract(epoch FROM expires_at - now()) AS float8) FROM leader WHERE name = :name)
        AS left_seconds,
    {_SERVER}
""")  # noqa: S608 constants only

_RENEW = sa.text(f"""
WITH renewed AS (
    UPDATE leader SET expires_at = now() + CAST(:lease AS interval),
        ticked_at = CASE WHEN :ticks THEN now() ELSE ticked_at END,
        broker_lost_at = CASE WHEN NOT :reaches_broker THEN coalesce(broker_lost_at, now()) END
    WHERE {_WHERE} RETURNING epoch
)
SELECT (SELECT epoch FROM renewed) AS epoch, {_SERVER}
""")  # noqa: S608 constants only

_RESIGN = sa.text(f"UPDATE leader SET expires_at = now() WHERE {_WHERE}")  # noqa: S608 constants only

_CHECK = sa.text(f"SELECT 1 FROM leader WHERE {_WHERE} AND expires_at > clock_timestamp()")  # noqa: S608


class LeadershipLost(Exception):
    """This process does not hold the lease (any more); nothing was written."""


@dataclass(frozen=True, slots=True)
class Term:
    """One period of leading. `since` and `until` are on this process's clock."""

    epoch: int
    until: float
    since: float


def clock() -> float:
    """Seconds by a clock that runs on while the machine is suspended, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leadership:
    """`campaign` takes or renews the lease; only one thread may call it. Everything else is safe from any thread.

    `lease_engine` is for the lease alone: jobs that use up their connection pool must not cost the leader its lease.
    `timed` is entered around each renewal: a small write, three in each lease, whatever else there is to do.
    """

    def __init__(
        self,
        lease_engine: Engine,
        engine: Engine,
        database: DatabaseWatch,
        *,
        name: str,
        lease: timedelta,
        clock: Callable[[], float] = clock,
        timed: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.holder: UUID = uuid4()
        self._lease_engine = lease_engine
        self._engine = engine
        self._database = database
        self.name = name
        self._lease = lease
        self._clock = clock
        self._timed = timed
        self._term: Term | None = None

    @property
    def term(self) -> Term | None:
        term = self._term
        return term if term is not None and self._clock() < term.until else None

    @property
    def leading(self) -> bool:
        return self.term is not None

    def require_term(self) -> Term:
        """The current term. Raises LeadershipLost."""
        term = self.term
        if term is None:
            raise LeadershipLost
        return term

    @property
    def led(self) -> timedelta:
        """For how long this process has been leading without a break. Raises LeadershipLost."""
        return timedelta(seconds=self._clock() - self.require_term().since)

    def campaign(self, *, ticks: bool = True, reaches_broker: bool = True) -> float:
        """Takes the lease if it is free, renews it if this process holds it; returns the seconds until the next call.

        `ticks`: whether the leader's jobs run, which `leader.ticked_at` shows. `reaches_broker`: whether Redis answers
        this process.
        Raises LedgerUnavailable; a lease that this process holds then runs out.
        """
        asked = self._clock()
        if self._term is not None and asked >= self._term.until:
            self._lose("its lease ran out before it could be renewed")
        # What a standby asks writes nothing: it says less of PostgreSQL than a renewal does.
        with nullcontext() if self._term is None else self._timed(), ledger.connection(self._lease_engine) as conn:
            if self._term is None:
                row = conn.execute(_TAKE, {**self._who(), "reaches_broker": reaches_broker}).one()
            else:
                values = {"epoch": self._term.epoch, "ticks": ticks, "reaches_broker": reaches_broker}
                row = conn.execute(_RENEW, {**self._who(), **values}).one()
        self._database.observe(row.started_at, row.timeline, row.age_seconds)
        # Counted from before the statement: PostgreSQL's lease began later, so this one ends first.
        until = asked + self._lease.total_seconds() * (1 - _MARGIN)
        if self._term is not None:
            if row.epoch is None:
                self._lose("another process leads")
                return 0.0
            self._term = Term(row.epoch, until, self._term.since)
        elif row.epoch is not None:
            # How long there had been no leader; None: there had never been one.
            gap = None if row.left_seconds is None else -row.left_seconds
            self._database.term_began(gap)
            self._term = Term(row.epoch, until, asked)
            log.info("leading", epoch=row.epoch, gap_seconds=gap)
        else:
            # As soon as the lease ends, with jitter for several standbys; at the latest after the usual interval,
            # because the leader may resign.
            wait = min(ASK_SECONDS, max(0.0, row.left_seconds or 0.0) + 0.02)
            return spread(wait, floor=0.8) if wait == ASK_SECONDS else wait + spread(0.05, floor=0)
        return self._lease.total_seconds() / 3

    def resign(self) -> None:
        """Gives up the lease, so that a standby can take it at once. Raises LedgerUnavailable."""
        term, self._term = self._term, None
        if term is None:
            return
        with ledger.connection(self._lease_engine) as conn:
            conn.execute(_RESIGN, {**self._who(), "epoch": term.epoch})
        log.info("resigned", epoch=term.epoch)

    def write(self, verb: Callable[[Connection], T]) -> T:
        """Runs `verb` in one transaction, which first checks by both clocks that this process leads.

        Raises LeadershipLost and LedgerUnavailable.
        """

        def guarded(conn: Connection) -> T:
            values = {**self._who(), "epoch": self.require_term().epoch}
            if conn.execute(_CHECK, values).first() is None:
                raise LeadershipLost
            return verb(conn)

        return ledger.run_transaction(self._engine, guarded)

    def read(self, verb: Callable[[Connection], T]) -> T:
        """Runs `verb` on a connection. Raises LedgerUnavailable."""
        return ledger.run(self._engine, verb)

    def _lose(self, why: str) -> None:
        assert self._term is not None
        log.warning("leadership_lost", epoch=self._term.epoch, why=why)
        self._term = None

    def _who(self) -> dict[str, object]:
        return {"name": NAME, "holder": self.holder, "holder_name": self.name, "lease": self._lease}
