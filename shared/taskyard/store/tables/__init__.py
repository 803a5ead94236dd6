"""The tables, by noun.

The indexes of `task` are chosen for a million tasks, waiting or finished (docs/decisions/0003-indexes.md): full ones on
the key and on (name, state, id), the others partial, so that each row is in few of them at a time.
"""

from __future__ import annotations

from .access import api_key, audit
from .dispatch import outbox, pace
from .fleet import leader, queue, queue_depth, queue_minute, worker
from .keys import idempotency_key, unique_key
from .schema import metadata
from .tasks import task, task_progress
from .timeline import task_attempt, task_event, timeline_seq
from .tree_items import tree_item

__all__ = [
    "api_key",
    "audit",
    "idempotency_key",
    "leader",
    "metadata",
    "outbox",
    "pace",
    "queue",
    "queue_depth",
    "queue_minute",
    "task",
    "task_attempt",
    "task_event",
    "task_progress",
    "timeline_seq",
    "tree_item",
    "unique_key",
    "worker",
]
