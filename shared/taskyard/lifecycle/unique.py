"""Unique keys: at most one task of a type with a key, while it waits or until it ends.

A key is a row of its own, taken with ON CONFLICT at submit and freed by the consequences `freed_waiting_keys` and
`freed_keys`; a requeue never takes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .batch import encode
from .submit import NewTask

# A task that is written already has had its key: a repeat after its end would take a key that is never freed again.
_TAKE_UNIQUE = sa.text("""
INSERT INTO unique_key (name, key, task_id, hold)
SELECT x.name, x.key, x.task_id, x.hold
FROM json_to_recordset(CAST(:batch AS json)) AS x(name text, key text, task_id uuid, hold text)
WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = x.task_id)
ORDER BY x.name, x.key
ON CONFLICT (name, key) DO NOTHING
""")

_HOLDERS = sa.text("""
SELECT u.name, u.key, u.task_id
FROM json_to_recordset(CAST(:batch AS json)) AS x(name text, key text, task_id uuid)
JOIN unique_key u USING (name, key)
WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = x.task_id)
""")

_DROP_UNIQUE = sa.text("DELETE FROM unique_key WHERE task_id = ANY(:ids)")


def take(conn: Connection, tasks: Sequence[NewTask]) -> dict[UUID, UUID]:
    """Takes the unique keys of the tasks, in the order of the keys; no two of them may want the same one. Returns the
    holder of each key that another task has, by the task that wanted it.
    """
    batch = [
        {"name": task.name, "key": task.unique.key, "task_id": task.id, "hold": task.unique.hold}
        for task in tasks
        if task.unique
    ]
    if not batch:
        return {}
    text = encode(batch)
    conn.execute(_TAKE_UNIQUE, {"batch": text})
    holders = {(r.name, r.key): r.task_id for r in conn.execute(_HOLDERS, {"batch": text})}
    found = {task.id: holders.get((task.name, task.unique.key), task.id) for task in tasks if task.unique}
    return {task_id: holder for task_id, holder in found.items() if holder != task_id}


def give_back(conn: Connection, tasks: Sequence[NewTask]) -> None:
    """Frees what a request took that is refused."""
    if ids := [task.id for task in tasks if task.unique]:
        conn.execute(_DROP_UNIQUE, {"ids": ids})
