"""The queries of `taskyard-worker inspect`: all workers of the installation, as the ledger knows them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

_ACTIVE = sa.text("""
SELECT t.id, t.name, t.queue, t.worker, t.attempt, t.started_at FROM queue q CROSS JOIN LATERAL (
    SELECT * FROM task WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
) t ORDER BY t.started_at LIMIT 1000
""")
_WORKERS = sa.text("""
SELECT * FROM worker WHERE lost_at IS NULL AND stopped_at IS NULL ORDER BY name
""")
_QUEUES = sa.text("SELECT name, paused_at FROM queue ORDER BY name")
# Counted up to a bound, because a person waits; the scheduler exports exact depths.
_WAITING = sa.text("""
SELECT count(*) FROM (
    SELECT FROM task WHERE queue = :queue AND state = :state AND finished_at IS NULL LIMIT 100000
) t
""")


def active(conn: sa.Connection) -> list[dict[str, Any]]:
    return [dict(r) for r in conn.execute(_ACTIVE).mappings()]


def registered(conn: sa.Connection) -> list[dict[str, Any]]:
    return [{"worker": w["name"], "task_types": w["task_types"]} for w in _workers(conn)]


def stats(conn: sa.Connection) -> list[dict[str, Any]]:
    return [
        {
            "worker": w["name"],
            "state": w["state"],
            "processes": w["processes"],
            "threads": w["threads"],
            "memory_mb": round((w["memory_bytes"] or 0) / 1024**2),
            "runs": sum(c["runs"] for c in w["children"]),
            "running": sum(len(c["running"]) for c in w["children"]),
            "beat_at": w["beat_at"],
            "children": w["children"],
        }
        for w in _workers(conn)
    ]


def queues(conn: sa.Connection) -> list[dict[str, Any]]:
    served = Counter(q for w in _workers(conn) for q in w["queues"])

    return [
        {
            "queue": row.name,
            "workers": served[row.name],
            "queued": conn.execute(_WAITING, {"queue": row.name, "state": "queued"}).scalar(),
            "running": conn.execute(_WAITING, {"queue": row.name, "state": "running"}).scalar(),
            "paused": row.paused_at is not None,
        }
        for row in conn.execute(_QUEUES)
    ]


def _workers(conn: sa.Connection) -> list[dict[str, Any]]:
    return [dict(r) for r in conn.execute(_WORKERS).mappings()]
