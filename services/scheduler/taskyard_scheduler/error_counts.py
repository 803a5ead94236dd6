"""Failures of attempts, counted by groups that are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from taskyard.domain.error_groups import TASKS_SHOWN, Group, Groups
from taskyard.domain.statistics import Window

# A task that asks for another attempt has not failed until there are no more.
_COUNT = sa.text("""
SELECT minute, queue, name, code, place, count(*) AS failures, max(finished_at) AS last_at,
    min(finished_at) AS first_at, (array_agg(task_id ORDER BY id DESC))[1:CAST(:shown AS int)] AS task_ids
FROM (
    SELECT a.id, a.task_id, a.finished_at, date_trunc('minute', a.finished_at) AS minute, a.queue,
        coalesce(t.name, '_other') AS name, coalesce(left(a.error ->> 'code', 100), '') AS code,
        coalesce(left(a.error ->> 'place', 200), '') AS place
    FROM task_attempt a LEFT JOIN task t ON t.id = a.task_id
    WHERE a.id > :after AND a.id <= :upto AND a.outcome IN ('failed', 'retrying', 'crashed')
        AND NOT (a.outcome = 'retrying' AND a.error ->> 'code' IS NOT DISTINCT FROM 'retry_requested')
) failed
GROUP BY 1, 2, 3, 4, 5
ORDER BY last_at
""")

_KNOWN = sa.text("SELECT queue, name, code, place FROM error_group WHERE name = ANY(:names)")
_OTHERS = sa.text("SELECT count(*) FROM error_group WHERE NOT name = ANY(:names)")

# A failure that ended before the group was marked as solved does not bring it back.
_WRITE_GROUPS = sa.text("""
INSERT INTO error_group AS g (id, queue, name, code, place, failures, first_seen_at, last_seen_at, task_ids)
SELECT id, queue, name, code, place, failures, first_at, last_at, task_ids
FROM json_to_recordset(CAST(:batch AS json)) AS x(id uuid, queue text, name text, code text, place text, failures int8,
    first_at timestamptz, last_at timestamptz, task_ids uuid[])
ORDER BY id
ON CONFLICT (id) DO UPDATE SET failures = g.failures + excluded.failures,
    last_seen_at = greatest(g.last_seen_at, excluded.last_seen_at),
    task_ids = ARRAY(SELECT u.id FROM unnest(excluded.task_ids || g.task_ids) WITH ORDINALITY u(id, n)
        GROUP BY u.id ORDER BY min(n) LIMIT :shown),
    returned_at = CASE WHEN g.solved_at < excluded.last_seen_at THEN coalesce(g.returned_at, excluded.last_seen_at)
        ELSE g.returned_at END
""")
_WRITE_COUNTS = sa.text("""
INSERT INTO error_count AS c (group_id, span, at, failures)
SELECT group_id, span, at, failures FROM json_to_recordset(CAST(:batch AS json))
    AS x(group_id uuid, span text, at timestamptz, failures int8)
ORDER BY group_id, span, at
ON CONFLICT (group_id, span, at) DO UPDATE SET failures = c.failures + excluded.failures
""")


@dataclass(slots=True)
class _Tally:
    first_at: datetime
    last_at: datetime
    failures: int = 0
    task_ids: list[UUID] = field(default_factory=list)

    def add(self, row: Row[Any]) -> None:
        """Rows come in the order of their last failures."""
        self.failures += row.failures
        self.first_at, self.last_at = min(self.first_at, row.first_at), row.last_at
        self.task_ids = list(dict.fromkeys([*row.task_ids, *self.task_ids]))[:TASKS_SHOWN]


def count_errors(conn: Connection, *, after: int, upto: int) -> None:
    """Counts the failures among the attempts with ids behind `after`, up to `upto`, in the transaction that counts the
    attempts."""
    rows = conn.execute(_COUNT, {"after": after, "upto": upto, "shown": TASKS_SHOWN}).all()
    if not rows:
        return
    groups = _known(conn, sorted({row.name for row in rows}))
    seen: dict[Group, _Tally] = {}
    counts: Counter[tuple[Group, Window, datetime]] = Counter()
    for row in rows:
        group = groups.of(Group(row.queue, row.name, row.code, row.place))
        seen.setdefault(group, _Tally(row.first_at, row.last_at)).add(row)
        for span in Window:
            counts[group, span, span.begin_of(row.minute)] += row.failures
    found = [{"id": group.id, **group._asdict(), **asdict(tally)} for group, tally in seen.items()]
    conn.execute(_WRITE_GROUPS, {"batch": _encoded(found), "shown": TASKS_SHOWN})
    points = [{"group_id": g.id, "span": span, "at": at, "failures": n} for (g, span, at), n in counts.items()]
    conn.execute(_WRITE_COUNTS, {"batch": _encoded(points)})


def _known(conn: Connection, names: Sequence[str]) -> Groups:
    known = {Group(*row) for row in conn.execute(_KNOWN, {"names": names})}
    return Groups(known, conn.execute(_OTHERS, {"names": names}).scalar_one())


def _encoded(batch: list[dict[str, Any]]) -> str:
    return orjson.dumps(batch).decode()
