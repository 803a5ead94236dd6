"""Ids that are handed out in order and committed out of order: up to which one has everything been seen?"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection


class SettledMark:
    """`value`: every row of `table` with an id up to this one is visible by now, or never will be.

    Whoever inserts takes a lock on the table (ROW EXCLUSIVE) before the sequence gives him an id, and keeps
    it until his transaction ends. So: read the sequence, then note who holds such locks; once none of those
    is left, all ids up to what was read are settled. No lock is taken and nobody waits. (CREATE INDEX
    CONCURRENTLY waits out older writers in the same way.) A high id that commits before a low one can not
    push the mark past the low one."""

    def __init__(self, table: str, sequence: str) -> None:
        self.value = 0
        self._candidate: int | None = None
        self._waiting_for: set[str] = set()
        # Both come from the code; a relation cannot be a parameter.
        self._last = sa.text(
            f"SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {sequence}"  # noqa: S608
        )
        self._writers = sa.text(
            "SELECT virtualtransaction FROM pg_locks"
            " WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND relation = CAST(:table AS regclass)"
        ).bindparams(table=table)

    def advance(self, conn: Connection) -> int:
        """Moves the mark as far as it goes; returns it. In autocommit mode: a transaction's snapshot would
        do, but its own locks on the table would not."""
        if self._candidate is not None:
            self._waiting_for &= self._holders(conn)
            if self._waiting_for:
                return self.value
            self.value = max(self.value, self._candidate)
        # In this order: a writer that got a lower id holds its lock by now, or has ended and is visible.
        self._candidate = int(conn.execute(self._last).scalar_one())
        self._waiting_for = self._holders(conn)
        if not self._waiting_for:
            self.value = max(self.value, self._candidate)
            self._candidate = None
        return self.value

    def reset(self) -> None:
        """After a failover ids may come again that were seen before."""
        self.value, self._candidate, self._waiting_for = 0, None, set()

    def _holders(self, conn: Connection) -> set[str]:
        return set(conn.execute(self._writers).scalars())
