"""What the ledger says is queued, next to what Redis knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.broker.names import Names
from taskyard.domain.tasks import Publication

PAGE = 1000
QUEUED_FOR_SECONDS = 30.0
_FIRST = UUID(int=0)

# The page is cut before the age is looked at: young rows must not make one look wade through the whole queue. Suspects
# are claimed from the ledger: Redis need not know them.
_QUEUED = sa.text("""
SELECT id, queue, publication,
    suspicions = 0 AND queued_at <= now() - CAST(:age AS float8) * interval '1 second' AS is_old
FROM (
    SELECT id, queue, publication, queued_at, suspicions FROM task
    WHERE queue = :queue AND state = 'queued' AND finished_at IS NULL AND id > :after
    ORDER BY id LIMIT :limit
) page ORDER BY id
""")

# One step in ix_task_live. The ledger says which queues there are, not the settings: a task type may bring its own.
_NEXT_QUEUE = sa.text("SELECT queue FROM task WHERE finished_at IS NULL AND queue > :queue ORDER BY queue LIMIT 1")

# The outbox is spread out to single ids so that PostgreSQL can hash them: after an outage it holds all that was
# submitted meanwhile, and looking through its arrays for each task took 14 s with 40,000 rows, against 50 ms.
_STILL = """
    SELECT t.id, t.queue, t.publication
    FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[])) AS s(id, number)
    JOIN task t ON t.id = s.id AND t.publication = s.number
    WHERE t.state = 'queued' AND t.suspicions = 0
      AND t.queued_at <= now() - CAST(:age AS float8) * interval '1 second'
      AND NOT EXISTS (SELECT FROM (SELECT unnest(task_ids) AS id FROM outbox) o WHERE o.id = t.id)
"""

_STILL_QUEUED = sa.text(f"{_STILL} ORDER BY t.id")

# With an outbox row, like every publication: cut off between this commit and Redis, the relay takes it up.
_BOX = sa.text(f"""
WITH missing AS ({_STILL}), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM missing HAVING count(*) > 0 RETURNING id
)
SELECT m.*, (SELECT id FROM boxed) AS outbox_id FROM missing m ORDER BY m.id
""")  # noqa: S608 constants only

# Asking a thousand times in one script costs Redis the same and us a twentieth.
_UNKNOWN = """
local unknown = {}
for i, id in ipairs(ARGV) do
    if redis.call('hexists', KEYS[1], id) == 0 then unknown[#unknown + 1] = i end
end
return unknown
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in (queue, id) a walk through all queued rows has come to; at first before all queues."""

    queue: str = ""
    after: UUID = _FIRST


@dataclass(frozen=True, slots=True)
class Page:
    old: list[Publication]
    size: int
    next: Place | None
    """None after the last page of the last queue."""


class Inventory:
    def __init__(
        self,
        client: redis.Redis,
        names: Names,
        *,
        age_seconds: float = QUEUED_FOR_SECONDS,
    ) -> None:
        self._names = names
        self._age = age_seconds
        self._unknown = client.register_script(_UNKNOWN)

    def page(self, conn: Connection, place: Place, *, age_seconds: float | None = None) -> Page:
        """The queued rows that follow, those that have been queued for long enough apart."""
        age = self._age if age_seconds is None else age_seconds
        values = {"queue": place.queue, "after": place.after, "limit": PAGE, "age": age}
        rows = conn.execute(_QUEUED, values).all()
        old = [Publication(r.id, r.queue, r.publication) for r in rows if r.is_old]
        if len(rows) == PAGE:
            return Page(old, len(rows), Place(place.queue, rows[-1].id))
        following = conn.execute(_NEXT_QUEUE, {"queue": place.queue}).scalar()
        return Page(old, len(rows), None if following is None else Place(following))

    def unknown(self, publications: Sequence[Publication]) -> list[Publication]:
        """Those whose message Redis does not have: neither waiting nor with a consumer. Raises
        redis.RedisError."""
        by_queue: dict[str, list[Publication]] = defaultdict(list)
        for publication in publications:
            by_queue[publication.queue].append(publication)
        found = []
        for queue, wanted in by_queue.items():
            for start in range(0, len(wanted), PAGE):
                chunk = wanted[start : start + PAGE]
                answer: Any = self._unknown(keys=[self._names.messages(queue)], args=[p.message_id for p in chunk])
                found += [chunk[index - 1] for index in answer]
        return found

    def still_queued(
        self, conn: Connection, suspects: Sequence[Publication], *, age_seconds: float | None = None
    ) -> list[Publication]:
        """Those that are queued as that very publication, for long enough, and in nobody's outbox."""
        rows = conn.execute(_STILL_QUEUED, self._values(suspects, age_seconds)).all()
        return [Publication(r.id, r.queue, r.publication) for r in rows]

    def box(self, conn: Connection, suspects: Sequence[Publication]) -> tuple[list[Publication], int | None]:
        """The same, with an outbox row for them; returns its id."""
        rows = conn.execute(_BOX, self._values(suspects)).all()
        return [Publication(r.id, r.queue, r.publication) for r in rows], rows[0].outbox_id if rows else None

    def _values(self, suspects: Sequence[Publication], age_seconds: float | None = None) -> dict[str, object]:
        return {
            "ids": [p.task_id for p in suspects],
            "numbers": [p.number for p in suspects],
            "age": self._age if age_seconds is None else age_seconds,
        }
