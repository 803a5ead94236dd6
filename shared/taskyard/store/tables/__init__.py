"""The tables, by noun.

The indexes of `task` are chosen for a million tasks, waiting or finished (docs/decisions/0003-indexes.md): full ones on
the key and on (name, state, id), the others partial, so that each row is in few of them at a time.
"""

from __future__ import annotations

# Each import adds its tables to `metadata`.
from . import (  # noqa: F401
    access,
    analytics,
    fleet,
    records,
    schedules,
    selection_runs,
    statistics,
    task_archives,
    task_types,
    tasks,
    tree_items,
    users,
    webhooks,
    workflows,
)
from .schema import metadata

# Tables of our own kits, which tasks may read and write (store/task_role.py). All others are the ledger's.
KIT_TABLES = (
    "analytics_hour",
    "loose_object",
    "record",
    "record_import",
    "record_sync",
    "request_count",
    "request_hour",
    "tree_item",
    "usage_event",
    "usage_hour",
    "user_activity",
    "user_profiles",
    "users",
)
LEDGER_TABLES = ("alembic_version", *sorted(metadata.tables.keys() - set(KIT_TABLES)))

__all__ = ["KIT_TABLES", "LEDGER_TABLES", "metadata"]
