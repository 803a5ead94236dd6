"""The outbox of applications: tasks that they submitted in their own transactions (`taskyard_sql.submit`).

An application's transaction may stay open for minutes. So this table is apart from the platform's outbox, whose
low-water mark waits for every open transaction, and what is new is told by transaction ids instead of by a mark: after
a look, new rows are those of the transactions that were open then, and of those that have begun since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Change, Publication, State
from .committed import STATES
from .consequences import HAS_LIMIT
from .publish import Standing

_NEW = "(xid >= :next_xid OR xid = ANY(CAST(:open AS bigint[])))"
# Two searches with an order and a limit each: for both together PostgreSQL would read all of the table, with every row
# that was deleted, until its statistics tell how few are new.
_ROWS = " UNION ALL ".join(
    f"(SELECT xid, task_id, created_at FROM application_outbox WHERE {new} ORDER BY xid LIMIT :limit)"  # noqa: S608
    for new in ("xid >= :next_xid", "xid = ANY(CAST(:open AS bigint[]))")
)

# Snapshot and rows belong to one statement, so no transaction is missed in between. xid8 has no cast to bigint.
_FRESH = sa.text(f"""
SELECT s.next_xid, s.open, f.xid, f.task_id, t.name, t.queue, t.state, t.attempt, t.publication, t.workflow_id,
    t.limited, t.limited IS NULL AND {HAS_LIMIT.format(task="t")} AS has_limit
FROM (
    SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS next_xid,
        ARRAY(SELECT CAST(CAST(x AS text) AS bigint) FROM pg_snapshot_xip(pg_current_snapshot()) AS x) AS open
) s
LEFT JOIN (
    SELECT * FROM ({_ROWS}) r ORDER BY xid, created_at LIMIT :limit
) f ON true
LEFT JOIN task t ON t.id = f.task_id
ORDER BY f.xid, f.created_at
""")  # noqa: S608 constants only

_DELETE = sa.text("""
DELETE FROM application_outbox o USING unnest(CAST(:xids AS bigint[]), CAST(:ids AS uuid[])) AS d(xid, task_id)
WHERE o.xid = d.xid AND o.task_id = d.task_id
""")

_STANDING = sa.text(f"SELECT count(*), min(created_at) FROM application_outbox WHERE {_NEW}")  # noqa: S608 constants only


@dataclass(frozen=True, slots=True)
class Seen:
    """The transactions that had ended at a look are those below `next_xid`, without the `open` ones."""

    next_xid: int = 0
    open: Sequence[int] = ()

    def values(self) -> dict[str, object]:
        return {"next_xid": self.next_xid, "open": list(self.open)}


@dataclass(frozen=True, slots=True)
class Fresh:
    """Rows that have committed since, and what is to be announced of them. `limited`: tasks that have to wait for the
    limit of their queue, which their submit did not know. `seen`: of this look; the next one may begin there once all
    of its rows are deleted."""

    seen: Seen
    keys: Sequence[sa.Row[tuple[int, object]]]
    limited: Sequence[UUID]
    publications: Sequence[Publication]
    changes: Sequence[Change]
    wakes_scheduler: bool


def fresh(conn: Connection, since: Seen, *, limit: int) -> Fresh:
    """Holds no lock: publishing twice is harmless. A task that has gone on, or was deleted, has a row all the same."""
    rows = conn.execute(_FRESH, {**since.values(), "limit": limit}).all()
    seen = Seen(rows[0].next_xid, rows[0].open)
    keys = [row for row in rows if row.task_id is not None]
    tasks = [row for row in keys if row.state is not None]
    queued = [row for row in tasks if row.state == State.QUEUED]
    return Fresh(
        seen,
        keys,
        [row.task_id for row in queued if row.has_limit],
        [Publication(r.task_id, r.queue, r.publication) for r in queued if not r.has_limit and r.limited != "waiting"],
        [Change(r.task_id, r.name, r.queue, STATES[r.state], r.attempt, r.workflow_id) for r in tasks],
        wakes_scheduler=any(row.state == State.SCHEDULED or row.limited == "waiting" for row in tasks),
    )


def delete(conn: Connection, found: Fresh) -> None:
    conn.execute(_DELETE, {"xids": [row.xid for row in found.keys], "ids": [row.task_id for row in found.keys]})


def standing(conn: Connection, since: Seen) -> Standing:
    """Of the rows that wait."""
    pending, oldest_at = conn.execute(_STANDING, since.values()).one()
    return Standing(pending, oldest_at)
