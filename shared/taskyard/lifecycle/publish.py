"""The outbox's other end: rows whose process did not publish them itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Publication
from .claim import IS_APART
from .committed import Committed

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
    """Of the outbox rows that wait."""

    pending: int
    oldest_at: datetime | None


def standing(conn: Connection, *, low_water: int = 0) -> Standing:
    row = conn.execute(_STANDING, {"low_water": low_water}).one()
    return Standing(row.pending, row.oldest_at)


# The outbox is unnested to single ids so that PostgreSQL can hash them. After an outage it holds all that was submitted
# meanwhile, and to search its arrays for each task took 14 s with 40,000 rows, against 50 ms.
_STILL = f"""
    SELECT t.id, t.queue, t.publication
    FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[])) AS s(id, number)
    JOIN task t ON t.id = s.id AND t.publication = s.number
    WHERE t.state = 'queued' AND NOT {IS_APART}
      AND t.queued_at <= now() - CAST(:age AS float8) * interval '1 second'
      AND NOT EXISTS (SELECT FROM (SELECT unnest(task_ids) AS id FROM outbox) o WHERE o.id = t.id)
      AND NOT EXISTS (SELECT FROM application_outbox a WHERE a.task_id = t.id)
"""  # noqa: S608 constants only
_UNPUBLISHED = sa.text(f"{_STILL} ORDER BY t.id")
# With an outbox row, like every publication: where Redis is not reached after this commit, the relay publishes it.
_PUBLISH_AGAIN = sa.text(f"""
WITH lost AS ({_STILL}), added AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM lost HAVING count(*) > 0 RETURNING id
)
SELECT l.*, (SELECT id FROM added) AS outbox_id FROM lost l ORDER BY l.id
""")  # noqa: S608 constants only


def unpublished(conn: Connection, suspects: Sequence[Publication], *, age_seconds: float) -> list[Publication]:
    """Those that are still queued with the same publication, for so long, and in no outbox row."""
    return [
        Publication(r.id, r.queue, r.publication) for r in conn.execute(_UNPUBLISHED, _values(suspects, age_seconds))
    ]


def publish_again(
    conn: Connection, suspects: Sequence[Publication], *, age_seconds: float
) -> Committed[list[Publication]]:
    """The same, and publishes them once more."""
    rows = conn.execute(_PUBLISH_AGAIN, _values(suspects, age_seconds)).all()
    found = [Publication(r.id, r.queue, r.publication) for r in rows]
    return Committed(found, publications=found, outbox_ids=[r.outbox_id for r in rows[:1]])


def _values(suspects: Sequence[Publication], age_seconds: float) -> dict[str, object]:
    return {"ids": [p.task_id for p in suspects], "numbers": [p.number for p in suspects], "age": age_seconds}
