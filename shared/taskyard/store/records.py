"""Records: what imports and synchronisations bring in, under keys of their own.

A restricted API key has collections of its own; those of all other keys are the same. `owner` below: as
`tree_items.owner_seen` says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

# The name of a collection, and bytes of a key in UTF-8: both together fit into a page of the index.
COLLECTION = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$"
MAX_KEY_BYTES = 800


class Written(NamedTuple):
    inserted: int
    updated: int
    unchanged: int


# In the order of the keys, so that two that write the same ones never wait for each other in a circle.
_UPSERT = sa.text("""
WITH written AS (
    INSERT INTO record AS r (owner, collection, key, data, task_id)
    SELECT :owner, :collection, key, value, :task_id FROM jsonb_each(CAST(:rows AS jsonb)) ORDER BY key
    ON CONFLICT (owner, collection, key) DO UPDATE
    SET data = excluded.data, task_id = excluded.task_id, updated_at = now()
    WHERE r.data IS DISTINCT FROM excluded.data
    RETURNING (xmax = 0) AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written
""")

_READ = sa.text("""
SELECT key, data FROM record
WHERE owner = :owner AND collection = :collection AND (CAST(:after AS text) IS NULL OR key > :after)
ORDER BY key LIMIT :limit
""")

# As many as fit, and one at least. One after the other, because of all that `limit` allows each text would be made.
_LIST = sa.text("""
WITH RECURSIVE found AS (
    (
        SELECT 1 AS row, key, data, task_id, updated_at, octet_length(data) AS bytes FROM (
            SELECT key, CAST(data AS text) AS data, task_id, updated_at FROM record
            WHERE owner = :owner AND collection = :collection AND (CAST(:after AS text) IS NULL OR key > :after)
            ORDER BY key LIMIT 1
        ) AS first
    )
    UNION ALL
    SELECT found.row + 1, next.key, next.data, next.task_id, next.updated_at, found.bytes + octet_length(next.data)
    FROM found CROSS JOIN LATERAL (
        SELECT key, CAST(data AS text) AS data, task_id, updated_at FROM record
        WHERE owner = :owner AND collection = :collection AND key > found.key
        ORDER BY key LIMIT 1
    ) AS next
    WHERE found.row <= :limit AND found.bytes <= :max_bytes
)
SELECT key, data, task_id, updated_at, (SELECT count(*) FROM found) AS found FROM found
WHERE row = 1 OR (row <= :limit AND bytes <= :max_bytes) ORDER BY row
""")


class Record(NamedTuple):
    """`data` is JSON."""

    key: str
    data: str
    task_id: UUID
    updated_at: datetime


class Listed(NamedTuple):
    records: list[Record]
    has_more: bool


def upsert(
    conn: Connection, collection: str, rows: Mapping[str, Any], *, task_id: UUID, owner: str | None = None
) -> Written:
    """Writes the records by their keys, in one statement; the same once more changes nothing. Values are what JSON has,
    without NUL."""
    values = {
        "rows": orjson.dumps(dict(rows)).decode(),
        "owner": space_of(owner),
        "collection": collection,
        "task_id": task_id,
    }
    inserted, updated = conn.execute(_UPSERT, values).one()
    return Written(inserted, updated, len(rows) - inserted - updated)


def page(
    conn: Connection, collection: str, *, after: str | None = None, limit: int = 1000, owner: str | None = None
) -> dict[str, Any]:
    """Up to `limit` records with keys beyond `after` (None: from the first), in the order of the keys."""
    values = {"owner": space_of(owner), "collection": collection, "after": after, "limit": limit}
    return {row.key: row.data for row in conn.execute(_READ, values)}


def listed(
    conn: Connection, *, collection: str, after: str | None, limit: int, max_bytes: int, owner: str | None = None
) -> Listed:
    """The same as texts of JSON, of `max_bytes` at most; a record that is larger is alone."""
    values = {
        "owner": space_of(owner),
        "collection": collection,
        "after": after,
        "limit": limit,
        "max_bytes": max_bytes,
    }
    rows = conn.execute(_LIST, values).all()
    found = [Record(row.key, row.data, row.task_id, row.updated_at) for row in rows]
    return Listed(found, bool(rows) and rows[0].found > len(found))


def space_of(owner: str | None) -> str:
    """The column `owner`."""
    return "" if owner is None else f"key:{owner}"
