"""Low-water marks over ids that are assigned in order and committed out of order."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection


class SettledMark:
    """`value`: every row of `table` with an id up to this one is visible by now, or never will be.

    A transaction that inserts takes a lock on the table (ROW EXCLUSIVE) before the sequence assigns an id, and holds it
    to its end. So the mark reads the sequence, then notes the holders of such locks. Once all of them have ended, all
    ids up to what was read are settled. This takes no lock and waits for none. (CREATE INDEX CONCURRENTLY waits for
    older writers in the same way.) A high id that commits before a low one cannot push the mark past the low one."""

    def __init__(self, table: str, sequence: str) -> None:
        self.value = 0
        self._candidate: int | None = None
        self._waiting_for: set[str] = set()
        # Both names come from the code; a relation cannot be a parameter.
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
        """Moves the mark as far as possible; returns it. Needs autocommit mode: a transaction that has written to the
        table would wait for its own lock."""
        if self._candidate is not None:
            self._waiting_for &= self._holders(conn)
            if self._waiting_for:
                return self.value
            self.value = max(self.value, self._candidate)
        # In this order: a writer with a lower id holds its lock by now, or has ended and is visible.
        self._candidate = int(conn.execute(self._last).scalar_one())
        self._waiting_for = self._holders(conn)
        if not self._waiting_for:
            self.value = max(self.value, self._candidate)
            self._candidate = None
        return self.value

    def reset(self) -> None:
        """To be called after a failover, when ids may be assigned a second time."""
        self.value, self._candidate, self._waiting_for = 0, None, set()

    def _holders(self, conn: Connection) -> set[str]:
        return set(conn.execute(self._writers).scalars())
