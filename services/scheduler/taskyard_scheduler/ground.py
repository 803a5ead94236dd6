"""Whether PostgreSQL is the one it was a moment ago.

After a restart or a failover, and after a time in which nobody could reach it, every worker's last beat
looks old and the newest commits may be gone. For one lease of the workers nothing is rescued and nothing
reconciled: by then those that live have beaten again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

log = structlog.stdlib.get_logger(__name__)


class Ground:
    """`observe` what PostgreSQL says of itself; `steady` tells whether it has been the same for long enough.

    `COLUMNS` is for statements that ask along with something else.
    """

    # The timeline out of the name of the current WAL file: it changes with the promotion itself, the one in
    # pg_control_checkpoint() only with the checkpoint after it.
    COLUMNS = """pg_postmaster_start_time() AS started_at,
    CASE WHEN pg_is_in_recovery() THEN ''
         ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
    CAST(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) AS float8) AS age_seconds"""
    _ASK = sa.text(f"SELECT {COLUMNS}")

    def __init__(self, *, pause: timedelta, clock: Callable[[], float]) -> None:
        self._pause = pause.total_seconds()
        self._clock = clock
        self._seen: tuple[datetime, str] | None = None
        self._steady_from = 0.0
        self._lock = threading.Lock()
        self.changes = 0
        """Grows with each change: whoever keeps positions in the ledger starts afresh."""

    def observe(self, started_at: datetime, timeline: str, age_seconds: float) -> None:
        with self._lock:
            seen, self._seen = self._seen, (started_at, timeline)
            if seen == self._seen:
                return
            if seen is None:
                # It may have started a moment ago, and we with it.
                self._rest(self._pause - age_seconds)
                return
            self.changes += 1
            log.warning("ledger_changed", started_at=started_at.isoformat(), timeline=timeline)
            self._rest(self._pause)

    def begin(self, gap_seconds: float | None) -> None:
        """A term begins after nobody had led for so long. Standbys take over within seconds: a long gap
        means that nobody could reach PostgreSQL, the workers neither."""
        if gap_seconds is not None and gap_seconds > self._pause / 2:
            with self._lock:
                self._rest(self._pause)

    def steady(self, conn: Connection) -> bool:
        """Looks again, and tells whether rescue and reconcile may work."""
        row = conn.execute(self._ASK).one()
        self.observe(row.started_at, row.timeline, row.age_seconds)
        with self._lock:
            return self._clock() >= self._steady_from

    def _rest(self, seconds: float) -> None:
        if seconds > 0:
            self._steady_from = max(self._steady_from, self._clock() + seconds)
            log.info("rescue_and_reconcile_pause", seconds=round(seconds, 1))
