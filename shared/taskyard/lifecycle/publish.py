"""The outbox's other end: rows whose process did not publish them itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Publication

_OVERDUE = sa.text("""
SELECT o.id AS outbox_id, t.id, t.queue, t.publication
FROM (
    SELECT id, task_ids FROM outbox
    WHERE id > :low_water AND created_at < now() - CAST(:older_than AS interval) ORDER BY id LIMIT :limit
) o
LEFT JOIN LATERAL (
    SELECT id, queue, publication FROM task WHERE id = ANY(o.task_ids) AND state = 'queued' ORDER BY id
) t ON true
ORDER BY o.id
""")

_DELETE = sa.text("DELETE FROM outbox WHERE id = ANY(:ids)")

_STANDING = sa.text("SELECT count(*) AS pending, min(created_at) AS oldest_at FROM outbox WHERE id > :low_water")


@dataclass(frozen=True, slots=True)
class Overdue:
    """Outbox rows to relay: publish, then delete. `low_water` is where the next look may begin."""

    outbox_ids: list[int]
    publications: list[Publication]


def overdue(
    conn: Connection, *, older_than: timedelta = timedelta(seconds=10), low_water: int = 0, limit: int = 500
) -> Overdue:
    """Rows older than that, in order, with those of their tasks that are still queued.

    `low_water` is an id below which nothing is left: without it each look reads the dead index entries of all rows that
    were ever deleted. No lock is held: publishing twice is harmless.
    """
    rows = conn.execute(_OVERDUE, {"low_water": low_water, "older_than": older_than, "limit": limit}).all()
    ids = list(dict.fromkeys(r.outbox_id for r in rows))
    return Overdue(ids, [Publication(r.id, r.queue, r.publication) for r in rows if r.id is not None])


def delete(conn: Connection, outbox_ids: Sequence[int]) -> None:
    if outbox_ids:
        conn.execute(_DELETE, {"ids": list(outbox_ids)})


@dataclass(frozen=True, slots=True)
class Standing:
    """How many outbox rows wait, and since when the oldest does."""

    pending: int
    oldest_at: datetime | None


def standing(conn: Connection, *, low_water: int = 0) -> Standing:
    row = conn.execute(_STANDING, {"low_water": low_water}).one()
    return Standing(row.pending, row.oldest_at)
