"""Watches whether PostgreSQL is still the server it was.

After a restart, a failover or a time during which PostgreSQL was unreachable, every worker's last heartbeat looks
overdue and the newest commits may be gone. For one lease of the workers nothing is rescued or reconciled; by then every
live worker has sent a heartbeat again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

log = structlog.stdlib.get_logger(__name__)


class DatabaseWatch:
    """`observe` takes what PostgreSQL reports of itself; `is_settled` tells whether that has stayed the same for long
    enough.

    `COLUMNS` is for statements that ask for something else at the same time.
    """

    # The timeline comes from the name of the current WAL file, which changes with the promotion itself;
    # pg_control_checkpoint() shows a new timeline only after the next checkpoint.
    COLUMNS = """pg_postmaster_start_time() AS started_at,
    CASE WHEN pg_is_in_recovery() THEN ''
         ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
    CAST(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) AS float8) AS age_seconds"""
    _SELECT = sa.text(f"SELECT {COLUMNS}")

    def __init__(self, *, pause: timedelta, clock: Callable[[], float]) -> None:
        self._pause = pause.total_seconds()
        self._clock = clock
        self._seen: tuple[datetime, str] | None = None
        self._settled_from = 0.0
        self._lock = threading.Lock()
        self.changes = 0
        """Grows with each change. A position in the ledger that was noted before a change is no longer valid."""

    def observe(self, started_at: datetime, timeline: str, age_seconds: float) -> None:
        with self._lock:
            seen, self._seen = self._seen, (started_at, timeline)
            if seen == self._seen:
                return
            if seen is None:
                # PostgreSQL may have started only a moment before this process.
                self._pause_for(self._pause - age_seconds)
                return
            self.changes += 1
            log.warning("ledger_changed", started_at=started_at.isoformat(), timeline=timeline)
            self._pause_for(self._pause)

    def term_began(self, gap_seconds: float | None) -> None:
        """A term began after `gap_seconds` without a leader. Standbys take over within seconds, so a long gap means
        that PostgreSQL was unreachable, for the workers too."""
        if gap_seconds is not None and gap_seconds > self._pause / 2:
            with self._lock:
                self._pause_for(self._pause)

    def is_settled(self, conn: Connection) -> bool:
        """Looks again, and tells whether rescue and reconcile may work."""
        row = conn.execute(self._SELECT).one()
        self.observe(row.started_at, row.timeline, row.age_seconds)
        with self._lock:
            return self._clock() >= self._settled_from

    def _pause_for(self, seconds: float) -> None:
        if seconds > 0:
            self._settled_from = max(self._settled_from, self._clock() + seconds)
            log.info("rescue_and_reconcile_pause", seconds=round(seconds, 1))
