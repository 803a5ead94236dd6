"""The results that steps take, put into their parameters when the steps are claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..catalogue.secrets import reserved_place
from ..domain.pointers import pointer
from ..domain.references import MAX_BYTES, replaced

if TYPE_CHECKING:
    from .claim import Claimed

# The parts that are taken, and no more of the results; nothing of them where they are too large together. What an
# optional step did not come to is null. That another need has not succeeded is found where a person runs a step alone.
# OFFSET 0: see `verbs.each_by_id`.
_TAKEN = sa.text("""
SELECT task_id, at, path, is_missing, size, CASE WHEN size <= :most THEN value END AS value FROM (
    SELECT x.*, sum(octet_length(CAST(x.value AS text))) OVER (PARTITION BY x.task_id) AS size FROM (
        SELECT s.task_id, r.at, r.path, CASE WHEN n.state = 'succeeded' THEN n.result #> r.path IS NULL
                AND r.path <> '{}' ELSE o.optional IS NOT TRUE END AS is_missing,
            CASE WHEN n.state = 'succeeded' THEN coalesce(n.result #> r.path, 'null') ELSE 'null' END AS value
        FROM workflow_step s
        CROSS JOIN LATERAL jsonb_to_recordset(s.refs) r(at jsonb, need uuid, path text[])
        LEFT JOIN LATERAL (SELECT * FROM task WHERE id = r.need OFFSET 0) n ON true
        LEFT JOIN LATERAL (SELECT * FROM workflow_step WHERE task_id = r.need OFFSET 0) o ON true
        WHERE s.task_id = ANY(:ids) AND s.refs IS NOT NULL
    ) x
) y
""")


def resolve(conn: Connection, works: Sequence[Claimed]) -> None:
    """Puts the results that the steps among them take into their parameters; `unresolved` is the code of what hinders
    that. One query for all."""
    steps: dict[UUID, Claimed] = {work.id: work for work in works if work.workflow_id is not None}
    if not steps:
        return
    for row in conn.execute(_TAKEN, {"ids": list(steps), "most": MAX_BYTES}):
        work = steps[row.task_id]
        if (code := _hindrance(row)) is not None:
            work.unresolved, work.unresolved_at = code, pointer(row.at)
        else:
            work.params = replaced(work.params, tuple(row.at), row.value)


def _hindrance(row: sa.Row[Any]) -> str | None:
    if row.size > MAX_BYTES:
        return "results_too_large"
    if row.is_missing:
        return "result_missing"
    return None if reserved_place(row.value) is None else "result_reserved"
